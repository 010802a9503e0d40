/* codegen/emit/cg.h -- private to codegen/: the builder of structured loops and vectors, and what
 * an emitter sees of its kernel. An emitter should read like the loop nest it makes. */
#ifndef SSMC_CODEGEN_CG_H
#define SSMC_CODEGEN_CG_H

#include <llvm-c/Core.h>

#include "codegen/codegen.h"

typedef LLVMValueRef Val; /* an LLVM value; `Value` is the graph's */

/* Kinds of fields in runtime/abi.h: numbers, pointers, its structs. */
#define STRUCT(type, FIELDS) CG_##type,
typedef enum { CG_i32, CG_i64, CG_ptr, ABI_STRUCTS(STRUCT) CG_ABI_COUNT } CgAbi;
#undef STRUCT

typedef struct {
    Arena *arena;
    const Machine *machine;
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMBuilderRef at_entry; /* allocas of the function being emitted */
    LLVMTypeRef void_t, i1, i8, i16, i32, i64, f32, f16, bf16, ptr;
    LLVMTypeRef abi[CG_ABI_COUNT];
    int lanes;       /* f32 lanes of the widest vector worth using: 16, 8 or 4 */
    bool masks;      /* masked loads and stores of every type are single instructions */
    bool on_gpu;     /* what is emitted are kernels of a GPU: codegen/ptx/ */
    bool aligned;    /* elements lie at multiples of their size: a GPU reads others byte by byte */
    Val fn;          /* function being emitted */
    bool calls_blas; /* some kernel calls AbiCall.sgemm */
} Cg;

/* ---- numbers and addresses ----------------------------------------------------------------
 * Sizes and indices are i64. Operations on constants fold as they are built. */
Val cg_i64(Cg *c, int64_t n);
Val cg_f32(Cg *c, double x);
Val cg_add(Cg *c, Val a, Val b);
Val cg_sub(Cg *c, Val a, Val b);
Val cg_mul(Cg *c, Val a, Val b);
Val cg_div(Cg *c, Val a, Val b); /* unsigned, rounds down */
Val cg_div_up(Cg *c, Val a, Val b);
Val cg_min(Cg *c, Val a, Val b); /* signed */
Val cg_max(Cg *c, Val a, Val b);
Val cg_less(Cg *c, Val a, Val b);                   /* signed, i1 */
Val cg_at(Cg *c, Val base, Dtype dtype, Val index); /* base + index elements */
/* base + row * stride + col elements */
Val cg_element(Cg *c, Val base, Dtype dtype, Val row, int64_t stride, Val col);
Val cg_offset(Cg *c, Val base, Val bytes);    /* base + bytes */
Val cg_load_index(Cg *c, Val ptr, Val index); /* int32 ptr[index] as i64 */
LLVMTypeRef cg_type(Cg *c, Dtype dtype);
LLVMTypeRef cg_vec_type(Cg *c, int lanes);             /* <lanes x float>, plain float for 1 */
LLVMTypeRef cg_vec_of(LLVMTypeRef element, int lanes); /* <lanes x element>, element for 1 */
int cg_lanes_of(Val v);                                /* 1 for a scalar */
/* Call of llvm.<name>; overloads are the types its name is overloaded on. */
Val cg_intrinsic(Cg *c, const char *name, LLVMTypeRef *overloads, int noverloads, Val *args,
                 int nargs);
/* Hint: the line at ptr will be read soon. locality 3: keep in L1, 2: in L2, 0: do not keep. */
void cg_prefetch(Cg *c, Val ptr, int locality);
enum { CG_LINE_BYTES = 64, CG_LINE_FLOATS = CG_LINE_BYTES / 4 }; /* of a cache line */

/* ---- structure -----------------------------------------------------------------------------
 * cg_loop .. cg_loop_end and cg_if [.. cg_else] .. cg_endif bracket what is built between them;
 * they nest. Values made inside do not leave: use a variable. */
typedef struct {
    Val i; /* the index, i64 */
    Val step;
    Val to;
    LLVMBasicBlockRef head, body, exit; /* the guard before it, its first block, what follows */
} CgLoop;
/* for (i = from; i < to; i += step), step > 0. Values carried round the loop are variables
 * (cg_var). The test is at the bottom, after a guard, so that invariant loads can be hoisted. */
CgLoop cg_loop(Cg *c, const char *name, Val from, Val to, int64_t step);
void cg_loop_end(Cg *c, CgLoop *loop);
typedef struct {
    LLVMBasicBlockRef other, exit;
    bool has_else;
} CgIf;
CgIf cg_if(Cg *c, Val cond);
void cg_else(Cg *c, CgIf *branch);
void cg_endif(Cg *c, CgIf *branch);
/* A mutable variable (an alloca that optimisation makes a register). initial is stored here and
 * now, so a variable made inside a loop starts anew in each round; NULL: nothing is stored. */
Val cg_var(Cg *c, LLVMTypeRef type, Val initial, const char *name);
Val cg_get(Cg *c, LLVMTypeRef type, Val var);
void cg_set(Cg *c, Val var, Val value);

/* ---- vectors; lanes = 1 is a plain scalar ---------------------------------------------------
 * Loads assume no alignment (checkpoint tensors have none); stores the element's. */
/* mask: NULL, or <lanes x i1> (i1 for one lane): lanes outside are not touched, and read as 0.
 * bf16 and f16 load widened to f32 (i32 stays i32); f32 values store as dtype, rounded to nearest
 * even. On targets whose masks are slow (!c->masks) prefer a scalar loop over the tail. */
Val cg_vload(Cg *c, Val ptr, Dtype dtype, int lanes, Val mask);
void cg_vstore(Cg *c, Val ptr, Dtype dtype, Val value, int lanes, Val mask);
Val cg_splat(Cg *c, Val scalar, int lanes); /* of any scalar type */
Val cg_like(Cg *c, Val x, double number);   /* a number of x's type, scalar or vector */
/* Lanes from[0], from[1] ... of a and then b, as one vector. */
Val cg_shuffle(Cg *c, Val a, Val b, const int *from, int lanes);
Val cg_slice(Cg *c, Val vec, int from, int lanes); /* lanes [from, from + lanes) */
Val cg_mask_first(Cg *c, int lanes, Val count);    /* lanes 0 .. count-1 (i64) */
Val cg_fadd(Cg *c, Val a, Val b);                  /* of any float type */
Val cg_fsub(Cg *c, Val a, Val b);
Val cg_fmul(Cg *c, Val a, Val b);
Val cg_fdiv(Cg *c, Val a, Val b);
Val cg_vmax(Cg *c, Val a, Val b);         /* the greater; b where either is NaN */
Val cg_vmin(Cg *c, Val a, Val b);         /* the smaller; b where either is NaN */
Val cg_fma(Cg *c, Val a, Val b, Val acc); /* a * b + acc; one rounding if the target has it */
/* i32 that wrap around: a sum may leave its range on the way. */
Val cg_add_ints(Cg *c, Val a, Val b);
/* The greater of f32 that are not negative; NaN is above all. */
Val cg_greater(Cg *c, Val a, Val b);
/* Across lanes: halves are combined until one lane is left. */
Val cg_fold(Cg *c, Val vec, Val combine(Cg *c, Val a, Val b));
Val cg_round(Cg *c, Val v, Dtype dtype); /* f32 rounded to what dtype can hold, still f32 */
/* <lanes x float> as <lanes x i16> bits of bf16, round to nearest even; NaN stays NaN. With
 * bf16_dot the CPU's conversion is used, which takes f32 denormals as 0. */
Val cg_bf16_bits(Cg *c, Val v);
Val cg_f16_bits(Cg *c, Val v); /* of f16; denormals stay */
/* Dot of pairs: acc[l] += a[2l+1] * b[2l+1], then acc[l] += a[2l] * b[2l]. acc is <lanes x float>;
 * a, b are pairs of bf16 as <lanes x i32> (even element in the low half; what a plain i32 load of
 * bf16 memory gives). Uses the target's instruction, or two widened FMAs in the same order. */
Val cg_dot_bf16(Cg *c, Val acc, Val a_pairs, Val b_pairs, int lanes);
/* Quadruples of bytes as a dot wants them: themselves, <lanes x i32>; or, where the target
 * multiplies no bytes but pairs of i16, widened: bytes 4l and 4l+2 of each lane, and bytes 4l+1 and
 * 4l+3. */
typedef struct {
    Val quads;     /* NULL: widened */
    Val even, odd; /* <2*lanes x i16>, or the same bits as <lanes x i32> */
} CgBytes;
bool cg_bytes_are_wide(const Cg *c, int lanes);
CgBytes cg_bytes_unsigned(Cg *c, Val quads, int lanes);
CgBytes cg_bytes_signed(Cg *c, Val quads, int lanes);
/* acc[l] += sum of a[4l+i] * b[4l+i], a unsigned, b signed, acc <lanes x i32>. Exact: uses the
 * target's instruction, or wider products. */
Val cg_dot_bytes(Cg *c, Val acc, CgBytes a, CgBytes b, int lanes);
/* f32 of at most 2^22 to the nearest integer, ties to even: its low 23 bits, as <lanes x i32>. */
Val cg_integer_bits(Cg *c, Val v);

/* Bits of <lanes x float> or <lanes x i32>. */
bool cg_on_x86(const Cg *c);
Val cg_int_like(Cg *c, Val v, uint32_t n); /* n in as many lanes as v has */
Val cg_as_bits(Cg *c, Val v);
Val cg_as_float(Cg *c, Val v);
Val cg_shl(Cg *c, Val v, uint32_t n);
Val cg_shr(Cg *c, Val v, uint32_t n); /* zeros come in */
Val cg_and(Cg *c, Val v, uint32_t n);

/* ---- functions of f32 scalars and vectors (math.c; error bounds in cg_ulp_bound) ---- */
Val cg_exp(Cg *c, Val x);
Val cg_exp2(Cg *c, Val x); /* 2^x, cheaper than e^x; below 2^-126 0 */
/* 2^x with an error of 2^-13, in fewer instructions where there are some for its parts. */
Val cg_exp2_coarsely(Cg *c, Val x);
Val cg_tanh(Cg *c, Val x);
Val cg_rsqrt(Cg *c, Val x); /* 1 / sqrt(x), each step correctly rounded */
bool cg_has_formula(Op op); /* cg_pointwise knows it */
/* A GPU's instructions (PTX ISA, ex2.approx.ftz and rcp.approx.ftz; codegen/ptx/ptx.c), of f32: 2^x
 * with an error of 2^-22, 0 where it is below 2^-126; 1 / x with one of 2^-23. */
Val ptx_exp2(Cg *c, Val x);
Val ptx_reciprocal(Cg *c, Val x);
/* As cg_round to bf16. A pair's high half above a zero is the f32: a conversion of one number would
 * be one of the sixteen a clock that functions have. */
Val ptx_round_bf16(Cg *c, Val x);

/* ---- the kernel being emitted ------------------------------------------------------------- */

/* One operand of the generated function: a value that crosses the kernel's border. */
typedef struct {
    const Value *value;
    Val base; /* its address in row 0, column 0; of a state: in slot 0 */
    Dtype dtype;
    int64_t stride; /* elements between rows; of states and inputs 0: they have none */
    bool is_output;
    int aligned; /* on a GPU: the address is a multiple of so many bytes, a power of 2, at most 16;
                  * elsewhere 0: nothing is known */
    int64_t unread_from, unread_to; /* columns of an output that the convolution in the epilogue
                                     * reads and nothing outside the kernel does; equal: none */
} CgOperand;

/* Of a GPU (codegen/ptx/ptx.c): lanes f32 or bf16, as <lanes x float>, by one access: of 16 bytes
 * at most, at a multiple of its size. */
Val ptx_load(Cg *c, Val at, Dtype dtype, int lanes);
void ptx_store(Cg *c, Val at, Dtype dtype, Val value);
/* Elements, a power of 2 up to `most`, that one access may read or write of an operand's rows from
 * any column that is a multiple of them on. */
int ptx_lanes(const CgOperand *o, int most);
/* Lanes of one row of an operand, at an address that its column makes, in as few accesses. */
Val ptx_load_row(Cg *c, const CgOperand *o, Val at, int lanes);
void ptx_store_row(Cg *c, const CgOperand *o, Val at, Val value);

/* What cg_eval remembers of a value at the newest site, so that a value used twice is made once. */
typedef struct {
    Val row, col, mask, last, value;
    int lanes;
    LLVMBasicBlockRef block;
} CgMemo;

typedef struct {
    const Graph *graph;
    const Kernel *kernel;
    Node *first, *last; /* its nodes, in order (skip nodes of other kernels and views between) */
    /* Canonical order: inputs by first use, then states, then outputs by definition. Numbers are
     * no operands: they are constants in the code. */
    CgOperand *operands;
    int noperands;
    const Value
        *domain;     /* kernel_domain: the sites of cg_store_outputs run over its [rows,width] */
    bool coarse;     /* functions may be off by 2^-12: beside a matrix unit, where exact ones take
                      * a tenth of a prefill, and on a GPU, if the kernel stores 16 bits a number or
                      * fewer */
    Val call, share; /* function arguments */
    Val part, parts, threads, before; /* loaded from share */
    Val tokens, picked;               /* T and R, loaded from call */
    int64_t scratch_bytes;            /* emitters add what each thread needs: cg_scratch */
    Val scratch;                      /* this thread's scratch */
    AbiLaunch launch; /* of a kernel for a GPU: what codegen/ptx/ptx.h says; in place of parts and
                       * scratch, which it has none of */
    Val *held; /* of a GPU, until the kernel waits: what stands for the address of each operand that
                * other kernels make or use; NULL: none is held */
    Val *bound;              /* by value id: what cg_bind said; NULL elsewhere */
    CgMemo *memo;            /* by value id */
    int *binds, *remembered; /* the ids that are set in them */
    int nbinds, nremembered;
} CgKernel;

/* The formula of a pointwise op; in: its operands as equal types (splat first). */
Val cg_pointwise(Cg *c, const CgKernel *k, const Node *node, Val *in);
/* Which values of a graph are used outside the kernel that makes them, by value id. arena. */
const bool *cg_escapes(Arena *arena, const Graph *g);
/* Fills graph, kernel, nodes, operands, domain and coarse; no code. */
void cg_kernel_open(Cg *c, const Graph *g, const Kernel *kernel, const bool *escapes,
                    CgKernel *out);
/* Room for what cg_bind and cg_eval remember. */
void cg_kernel_values(Cg *c, CgKernel *k);
const CgOperand *cg_operand(const CgKernel *k, const Value *v); /* NULL: not at the border */
/* Fields of AbiCall, AbiSeg and AbiShare by name: CALL_rows, SEG_len, SHARE_part ... */
#define ABI_CALL_INDEX(ctype, kind, name, doc)  CALL_##name,
#define ABI_SEG_INDEX(ctype, kind, name, doc)   SEG_##name,
#define ABI_SHARE_INDEX(ctype, kind, name, doc) SHARE_##name,
typedef enum { ABI_CALL_FIELDS(ABI_CALL_INDEX, ) } CgCallField;
typedef enum { ABI_SEG_FIELDS(ABI_SEG_INDEX, ) } CgSegField;
typedef enum { ABI_SHARE_FIELDS(ABI_SHARE_INDEX, ) } CgShareField;
Val cg_call_field(Cg *c, CgKernel *k, CgCallField field); /* i64 or ptr */
Val cg_share_field(Cg *c, CgKernel *k, CgShareField field);
/* i1: this thread ran a part of this step before this one (k->before); scratch is as that
 * left it. */
Val cg_ran_before(Cg *c, const CgKernel *k);
/* Segment number `index` of the call, and where a state operand of its sequence begins. */
typedef struct {
    Val row, len, slot, past;
} CgSeg;
CgSeg cg_segment(Cg *c, CgKernel *k, Val index);
Val cg_state_at(Cg *c, CgKernel *k, const CgOperand *state, Val slot);
/* Where a growing state, or what a `keep` gives, begins in the memory of sequence `slot`. */
Val cg_kept_at(Cg *c, CgKernel *k, const CgOperand *state, Val slot);
/* The row of a token's position in a state that the node `keep` fills: a ring where it has a
 * window. */
Val cg_kept_row(Cg *c, CgKernel *k, const Node *keep, Val position);
/* Reserves bytes of this thread's scratch (aligned as machine_alignment says); the address. Call it
 * where the address dominates its uses (best: before any loop). */
Val cg_scratch(Cg *c, CgKernel *k, int64_t bytes);
/* T, R or T*n by the value's first dimension, or a constant; 1 for rank 0 and 1. A stack of weights
 * [E,O,K] has E*O rows. */
Val cg_rows(Cg *c, const CgKernel *k, const Value *v);
/* Elements of a row: the product of the dimensions after those of its rows (rank 1: the only one).
 */
int64_t cg_width(const Value *v);
/* This thread's share [*from, *to) of count items, in units of `unit`. */
void cg_share(Cg *c, const CgKernel *k, Val count, int64_t unit, Val *from, Val *to);
/* A loop over this thread's share of count items, one after the other. */
CgLoop cg_share_loop(Cg *c, const CgKernel *k, const char *name, Val count, int64_t unit);
/* Share `part` of `parts`: [share[0], share[1]). */
void cg_share_of(Cg *c, Val count, int64_t unit, Val part, Val parts, Val share[2]);

/* Where in a [rows,width] value an evaluation happens: columns col .. col+lanes-1 of one row; or,
 * with `last`, rows row .. row+lanes-1 of one column, where row `last` stands for those after it.
 * On a GPU col is a multiple of lanes. */
typedef struct {
    Val row, col;
    int lanes;
    Val mask; /* NULL: all lanes */
    Val last; /* NULL: lanes are columns */
} CgSite;
/* Value at a site, as f32: a load when it comes from outside the kernel (row vectors [W], columns
 * [T,1] and numbers are broadcast), the bound value, or its pointwise node computed from its own
 * operands. */
Val cg_eval(Cg *c, CgKernel *k, const Value *v, const CgSite *at);
/* One element, with nothing bound. */
Val cg_eval_one(Cg *c, CgKernel *k, const Value *v, Val row, Val col);
/* What the anchor computed for v at the site that is evaluated next. NULL unbinds. */
void cg_bind(CgKernel *k, const Value *v, Val value);
/* Forgets every bound value: call before each site. */
void cg_unbind_all(CgKernel *k);
bool cg_in_domain(const CgKernel *k, const Value *v); /* has k->domain's shape */
/* An output that is in the domain; but not what a quantise makes, which is known at the end of a
 * row only, nor what an op of layout does, which has places of its own. */
bool cg_stores(const CgKernel *k, const CgOperand *o);
/* Evaluates every such output of the kernel, then stores them. */
void cg_store_outputs(Cg *c, CgKernel *k, const CgSite *at);

/* Columns [from, to) of a row: a loop over full vectors, then the tail, as one masked vector or, on
 * targets without good masks, lane by lane. What stands between is built up to twice, at .at:
 *     for (CgColumns col = cg_columns(c, row, from, to, lanes); cg_columns_next(c, &col);)
 * lanes: most lanes of a site, c->lanes unless there is a reason. */
typedef struct {
    CgSite at;
    Val ends[3]; /* full vectors reach from the first to the second, the tail to the third */
    int built;   /* of the two */
    CgLoop loop;
    CgIf tail;
} CgColumns;
CgColumns cg_columns(Cg *c, Val row, Val from, Val to, int lanes);
bool cg_columns_next(Cg *c, CgColumns *s);

/* Stores every output that has v's shape and is made of pointwise ops alone: a loop over all its
 * rows. For emitters that do not visit the sites of what they read one by one. */
void cg_store_map(Cg *c, CgKernel *k, const Value *v);

/* Emitters: one per anchor; each fills the body of the function for its kernel. False: this shape
 * cannot be emitted; it has said why to diag. On entry the builder stands in the entry block; on
 * return it stands where the function returns (codegen/function.c adds the ret). */
typedef bool CgEmitter(Cg *c, CgKernel *k, Diag *diag);
CgEmitter emit_map;                  /* no anchor: pointwise ops alone */
CgEmitter emit_gather;               /* emit_gather.c */
CgEmitter emit_route, emit_fold;     /* emit_route.c */
CgEmitter emit_norm, emit_quantise;  /* emit_rows.c */
CgEmitter emit_angles, emit_rope;    /* emit_rope.c */
CgEmitter emit_conv1d;               /* emit_conv.c */
CgEmitter emit_linear;               /* emit_linear.c */
CgEmitter emit_linear_integers;      /* emit_integers.c */
CgEmitter emit_ssd_scan;             /* emit_scan.c */
CgEmitter emit_chunked;              /* chunk_decay .. chunk_out, flag S; delta by chunks */
CgEmitter emit_selective_scan;       /* emit_selective.c */
CgEmitter emit_delta;                /* emit_delta.c */
CgEmitter emit_keep;                 /* emit_keep.c */
CgEmitter emit_attention;            /* emit_attention.c */
CgEmitter emit_transpose, emit_pack; /* emit_layout.c */
CgEmitter emit_regroup;              /* emit_regroup.c */
CgEmitter emit_concat;               /* emit_concat.c */
CgEmitter emit_spread;               /* emit_spread.c */
CgEmitter emit_quantised;            /* emit_quantised.c: a quantise_* with its packs */

/* attend_sums.c */
CgEmitter emit_attention_sums, emit_attention_join;

#endif
