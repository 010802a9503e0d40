/* codegen/ptx/ptx.h -- private to codegen/: what emitters of a GPU's kernels have beside cg.h.
 *
 * A kernel is one function that every thread of a grid of blocks runs (PTX ISA, "Programming
 * Model"). An emitter says how many threads a block has and, for each direction of the grid, what
 * is counted; then it builds what one thread does. Numbers are as on a CPU: a site is one element.
 * Where compile.device is model, C functions take the place of the GPU (codegen/gpu_model.c), and
 * what they would let pass must still be right: a barrier between a write and a read of another
 * thread, every thread of a warp at each exchange. */
#ifndef SSMC_CODEGEN_PTX_PTX_H
#define SSMC_CODEGEN_PTX_PTX_H

#include "codegen/emit/cg.h"

/* ---- the grid -------------------------------------------------------------------------------- */

void ptx_threads(CgKernel *k, int64_t threads); /* of a block; a multiple of GPU_WARP */
int ptx_power_of_two(int64_t least);            /* the least that is not below it */
/* Registers of a thread are to leave room for so many blocks of this kernel on a multiprocessor. */
void ptx_resident(Cg *c, int blocks);
/* From here on the four warps of this group have so many registers a thread, a multiple of 8: what
 * some give back others may take (PTX ISA, "setmaxnreg"; sm_90a). Of a kernel that says
 * ptx_resident. */
void ptx_registers(Cg *c, int count, bool more);
/* Blocks in direction 0, 1 or 2: AbiExtent. A direction of which nothing is said has one. */
void ptx_grid(CgKernel *k, int direction, AbiCount of, int64_t each, int64_t per, int64_t times);
/* So many blocks more than counted. */
void ptx_grid_more(CgKernel *k, int direction, int64_t more);
/* Where direction 1 has more than one block: so many in direction 0, whose grid is constant, and of
 * direction 1 `down` are one. */
void ptx_grid_of_many(CgKernel *k, int64_t across, int64_t down);
/* What counts the rows of v, and how many rows each counted thing has: T, R, T*k or a constant. */
AbiCount ptx_count(const Value *v, int64_t *each);

Val ptx_thread(Cg *c);               /* in its block, i64 */
Val ptx_block(Cg *c, int direction); /* in the grid, i64 */
Val ptx_lane(Cg *c);                 /* thread of its warp */
Val ptx_warp(Cg *c);                 /* warp of its block */

/* ---- kernels that run while others end ---------------------------------------------------------
 * A GPU of capability 9.0 begins a kernel while those before it still run (PTX ISA,
 * "griddepcontrol"). It has what they made, and may write over what they read, after ptx_wait:
 * each waits for all before it, since every kernel waits. Weights, parameters, states and what a
 * call says are made by no other kernel of a pass, and may be read before. */

/* Emitters that begin so are named in function.c and wait once on every way through the kernel;
 * for all others it is done. Where two ways part before the wait, ptx_hold begins the second. */
void ptx_wait(Cg *c, CgKernel *k);
void ptx_hold(Cg *c, CgKernel *k);
/* The kernels after it may begin once every block has come here. */
void ptx_let_others_begin(Cg *c, const CgKernel *k);
/* Whether the kernel may begin while those before it end. */
bool ptx_begins_early(const Cg *c, const CgKernel *k);

/* ---- what threads share ---------------------------------------------------------------------- */

/* Bytes of the block's own memory, 16-byte aligned; not zeros. Anywhere in the kernel. */
Val ptx_shared(Cg *c, CgKernel *k, int64_t bytes);
void ptx_barrier(Cg *c); /* every thread of the block, as often as every other */
/* A barrier, and of how many of the block's threads `yes` (i1) is true, as i64. */
Val ptx_barrier_count(Cg *c, Val yes);
void ptx_warp_barrier(Cg *c); /* every thread of the warp: what others of it wrote is there */
/* A number below 2^31 (i64) that all lanes of the warp have: code then has it, and what is made of
 * it, once for the warp. The whole warp. */
Val ptx_of_warp(Cg *c, Val number);
/* The number that the lane with number `lane` xor `mask` gives; f32 or i32. The whole warp. */
Val ptx_exchange(Cg *c, Val x, int mask);
Val ptx_exchange_double(Cg *c, Val x, int mask);
/* Bit l: lane l says yes (i1). The whole warp; i32. */
Val ptx_ballot(Cg *c, Val yes);
Val ptx_count_bits(Cg *c, Val bits); /* of an i32, as i64 */
/* combine over the lanes of a warp, or of groups of `lanes` lanes one after the other; each lane
 * gets it. */
Val ptx_warp_fold(Cg *c, Val x, int lanes, Val combine(Cg *c, Val a, Val b));
/* combine over all threads of the block; each gets it. identity: of combine. */
Val ptx_block_fold(Cg *c, CgKernel *k, Val x, double identity, Val combine(Cg *c, Val a, Val b));

/* ---- blocks that read each other's shared memory (PTX ISA, "Cluster of Cooperative Thread
 * Arrays"; capability 9.0) */

/* So many blocks that follow each other in direction 0, whose grid is constant, are a cluster where
 * direction 1 has more than one block; else each block is one. At most GPU_MOST_CLUSTER. */
void ptx_cluster(CgKernel *k, int64_t blocks);
/* Every thread of all blocks of the cluster; what they wrote before is there. A block that others
 * read must not end before a barrier behind that. */
void ptx_cluster_barrier(Cg *c);
/* A barrier of the cluster that orders no writes: no thread waits until others see what it wrote.
 * For the end of a kernel. */
void ptx_cluster_end(Cg *c);
/* Where block number `block` (i64) of the cluster has what this one has at `shared`. */
Val ptx_shared_of(Cg *c, Val shared, Val block);

/* ---- numbers ----------------------------------------------------------------------------------
 */

/* Two f32 rounded to bf16 (to the nearest, ties to even) as an i32: `low` in its low half. */
Val ptx_pair(Cg *c, Val low, Val high);
/* The two f32 of a pair. */
Val ptx_low(Cg *c, Val pair);
Val ptx_high(Cg *c, Val pair);
/* The greater; of a number and a NaN the number. */
Val ptx_max(Cg *c, Val a, Val b);

/* ---- copies beside the arithmetic (PTX ISA, cp.async) -----------------------------------------
 */

/* 16 bytes from memory to shared memory, both so aligned; where `valid` (i1) is false zeros, and
 * nothing is read. They are there for this thread after ptx_copy_wait, for others after a barrier
 * behind it. */
void ptx_copy16(Cg *c, Val shared, Val from, Val valid);
/* As ptx_copy16, from a weight. The GPU model reads a weight in its mapped file, where it may be
 * unaligned. */
void ptx_copy16_weight(Cg *c, Val shared, Val from, Val valid);
void ptx_copy_commit(Cg *c);           /* those since the last are one group */
void ptx_copy_wait(Cg *c, int behind); /* until no more than that many groups are on their way */

/* ---- signals (PTX ISA, "mbarrier"; sm_90a) ------------------------------------------------------
 * 8 bytes of shared memory, aligned, that count: a round ends when it was given as often as it says
 * and the next begins. What a giver wrote before is there for those who have waited. */

/* One thread, and a barrier before any use. */
void ptx_signal_open(Cg *c, Val at, int times);
void ptx_signal_give(Cg *c, Val at);
/* Until the round that the bit `odd` (i32) says has ended: 0 of the first, 1 of the next, ... That
 * before the first has. None may be two rounds behind. */
void ptx_signal_wait(Cg *c, Val at, Val odd);
/* i1: the round has ended. The answer may be 0 although it has: then call ptx_signal_wait. */
Val ptx_signal_over(Cg *c, Val at, Val odd);

/* Gives, and says that so many bytes more arrive by ptx_box_copy before the round ends. */
void ptx_signal_expect(Cg *c, Val at, int64_t bytes);
/* Adds bytes to those that the signal expects in this round, without giving. The caller must give
 * later in the same round. */
void ptx_signal_more(Cg *c, Val at, int64_t bytes);

/* ---- copies of boxes (PTX ISA, "cp.async.bulk.tensor"; sm_90a) ----------------------------------
 * One thread copies a box, which is there for wgmma, and for those who wait, as the signal's round
 * ends: it expects the bytes. */

/* Adds to the kernel's launch a map of its operand, whose number it returns. The emitter has said
 * their count before: function.c. */
int ptx_map_of(CgKernel *k, const AbiMap *map);
/* The box of map number `map` from element `first` of its first dimension and `last` of its last,
 * and from the begin of the others, to `shared`, a multiple of 128 bytes: a row's 16s are moved
 * about by the row's number in its 1024. What lies before or beyond the operand is zeros. */
void ptx_box_copy(Cg *c, CgKernel *k, Val shared, int map, Val first, Val last, Val signal);

/* 16 bytes of memory that no other thread writes while this kernel runs, so aligned, as four i32.
 * once: no other block of this multiprocessor reads them soon. */
void ptx_load16(Cg *c, Val from, bool once, Val out[4]);

/* Begins to bring so many bytes to the second-level cache, both multiples of 16; or does not. */
void ptx_ask(Cg *c, Val from, int64_t bytes);
void ptx_ask_line(Cg *c, Val of); /* the line of an address of memory */

/* ---- products of tiles (PTX ISA, "Warp Level Matrix Instructions") ----------------------------
 */

/* acc[4] += a b of 16 x 16 by 16 x 8 bf16, f32 sums, by a whole warp. Lane l = 4 g + t has of a the
 * pairs (row g, columns 2t, 2t+1), (g+8, 2t), (g, 2t+8), (g+8, 2t+8), as i32 each; of b (rows 2t,
 * 2t+1 of column g), (2t+8, 2t+9); of acc (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1). */
void ptx_mma_bf16(Cg *c, Val acc[4], const Val a[4], const Val b[2]);
/* Four 8 x 8 matrices of 16-bit numbers of shared memory: lane 8 i + r gives the address of row r
 * (16 bytes, so aligned) of matrix i; lane l gets of each the pair in row l / 4, columns 2 (l % 4),
 * as i32: what a of a product is of. transpose: of the matrix transposed. */
void ptx_load_matrices(Cg *c, Val address, bool transpose, Val out[4]);
/* Stores four 8 x 8 matrices transposed (stmatrix; sm_90a). Lanes hold them as ptx_load_matrices
 * gives them; column r of matrix i goes to the row whose address lane 8 i + r gives. */
void ptx_store_matrices(Cg *c, Val address, const Val in[4]);

/* ---- products of four warps (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"; sm_90a)
 * A warpgroup is four warps, the first a multiple of four. */

/* Rows of 64 bf16 in shared memory, 128 bytes each, whose 16s of bytes lie where ptx_swizzle says:
 * as wgmma takes them, i64. They begin `offset` bytes, a multiple of 1024, behind `shared`, an
 * address of that alignment; a warp has one offset. further: so many bytes on. */
Val ptx_wgmma_rows(Cg *c, Val shared, Val offset);
Val ptx_wgmma_further(Cg *c, Val rows, Val bytes);
/* A transposed operand: such rows, where row k holds input k of 64 columns. The rows of the next 64
 * columns begin `apart` bytes behind. */
Val ptx_wgmma_columns(Cg *c, Val shared, Val offset, int64_t apart);
/* What this thread has written to shared memory before is there for wgmma after a barrier, or for
 * those who wait for a signal that it gives. */
void ptx_wgmma_show(Cg *c);
/* Before products, and again after other uses of their sums. */
void ptx_wgmma_begin(Cg *c);
/* acc += x W^T of 64 rows x and 2 nacc rows W, over 16 inputs. A lane's sums are those of
 * ptx_mma_bf16 for rows 16 w + ... of warp w of the four, and each 8 columns. They are on their way
 * until ptx_wgmma_end, and what is read must stay until a wait. */
void ptx_wgmma_bf16(Cg *c, Val *acc, int nacc, Val x, Val w);
/* acc += x W^T as ptx_wgmma_bf16 does, with x transposed: it has 64 columns and is of
 * ptx_wgmma_columns. */
void ptx_wgmma_bf16_over(Cg *c, Val *acc, int nacc, Val x, Val w);
/* acc += x W^T as ptx_wgmma_bf16 does, with x in registers: each warp holds its 16 rows of x as
 * ptx_mma_bf16 takes a, and leaves them as they are until a wait: what a loop makes meanwhile for
 * its next products must not become the same variable. columns: w is of ptx_wgmma_columns. */
void ptx_wgmma_bf16_by(Cg *c, Val *acc, int nacc, const Val x[4], Val w, bool columns);
void ptx_wgmma_commit(Cg *c);           /* those since the last are one group */
void ptx_wgmma_wait(Cg *c, int behind); /* until no more than that many groups are on their way */
/* Waits as ptx_wgmma_wait, for what acc is a sum of. */
void ptx_wgmma_end(Cg *c, int behind, Val *acc, int nacc);

/* ---- sites ------------------------------------------------------------------------------------
 */

/* `lanes` columns of the domain's rows for each thread, which divide its width: the grid, the site,
 * and the branch that is taken where there is such a site. Close with ptx_sites_end. */
typedef struct {
    CgSite at;
    CgIf branch;
} PtxSites;
PtxSites ptx_sites(Cg *c, CgKernel *k, int lanes);
/* As ptx_sites, with so many sites in each row; .at.col is the number of the site. */
PtxSites ptx_sites_of(Cg *c, CgKernel *k, int64_t sites);
void ptx_sites_end(Cg *c, PtxSites *s);

/* How many columns of the domain a thread takes at once, 1, 2, 4 or 8, so that operands which have
 * a row for each of its rows are read and written 16 bytes at a time: what is f32 is stored by 4,
 * as neighbours then fill whole sectors of 32 bytes, and is read by two accesses beside bf16 alone.
 * Where a call has a row of each sequence, threads are many for what there is to do: 1. */
int ptx_site_lanes(const CgKernel *k);
/* How threads are spread over rows of `sites`: a row is `blocks` blocks that follow each other, of
 * `sites` each, no more than `across`, and a block has as many sites of each of `rows` rows. All
 * are in direction 0 of the grid, as others have no more than 65535 blocks. */
typedef struct {
    int64_t blocks, sites, rows;
    int64_t threads; /* of a block: rows * sites, and up to a warp that has none */
} PtxSpread;
PtxSpread ptx_spread(int64_t sites, int64_t across, int64_t threads);
/* The row and site of this thread; i1: there is such a site. */
Val ptx_spread_site(Cg *c, const PtxSpread *s, int64_t sites, Val *row, Val *site);

/* The segment that a token row belongs to: its number, i64. Rows beyond the last give the last. */
Val ptx_segment_of(Cg *c, CgKernel *k, Val row);
/* The segment that part `number` belongs to. Part i of segment s, whose first row is r, has the
 * number floor(r / each) + s + i. */
Val ptx_segment_of_part(Cg *c, CgKernel *k, Val number, Val each);

/* ---- emitters: one for each anchor, as in cg.h -------------------------------------------------
 */

CgEmitter ptx_map;    /* no anchor */
CgEmitter ptx_gather; /* ptx_map.c */
CgEmitter ptx_norm;   /* ptx_norm.c */
CgEmitter ptx_linear; /* ptx_linear.c */
int ptx_linear_maps(const Cg *c, CgKernel *k);
CgEmitter ptx_conv1d;      /* ptx_conv.c */
CgEmitter ptx_ssd_scan;    /* ptx_scan.c */
CgEmitter ptx_ssd_chunked; /* ptx_ssd.c: flag S */
int ptx_ssd_maps(const Cg *c, CgKernel *k);
CgEmitter ptx_ssd_starts; /* ptx_ssd_starts.c */
int ptx_ssd_starts_maps(const Cg *c, CgKernel *k);
CgEmitter ptx_selective_scan;   /* ptx_selective.c */
CgEmitter ptx_delta;            /* ptx_delta.c */
CgEmitter ptx_angles, ptx_rope; /* ptx_rope.c */
CgEmitter ptx_concat;           /* ptx_concat.c */
CgEmitter ptx_route, ptx_fold;  /* ptx_route.c */
CgEmitter ptx_likeliest;        /* ptx_likeliest.c */
CgEmitter ptx_keep;             /* ptx_keep.c */
CgEmitter ptx_attention;        /* ptx_attention.c */

/* !nvvm.annotations: {fn, key, value}. */
void ptx_annotate(Cg *c, Val fn, const char *key, int64_t value);

/* ---- function.c --------------------------------------------------------------------------------
 */

/* A kernel of the module without a body: addresses of its operands, and an AbiCall by value; on the
 * model a function of its process. */
Val ptx_function(Cg *c, const char *name, unsigned operands);

/* Builds the kernel's function in c->mod and fills k->launch: a kernel of the module; on the model
 * an AbiKernel, which runs the whole grid. NULL: no emitter takes it; diag says why. */
Val ptx_kernel_function(Cg *c, CgKernel *k, const char *name, Diag *diag);

#endif
