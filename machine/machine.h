/* machine/machine.h -- what the machine that code is made for can do. Passes choose by it, emitters
 * cut their loops to it, measurements are taken against it: there is no second description. */
#ifndef SSMC_MACHINE_MACHINE_H
#define SSMC_MACHINE_MACHINE_H

#include "machine/cost.h"
#include "runtime/abi.h"

typedef enum { ARCH_x86_64, ARCH_aarch64, ARCHS } Arch;

typedef enum {
    MATRIX_none,
#define MATRIX(id, name, unit, bf16, i8, tiles, rows, row_bytes) MATRIX_##id,
#include "machine/matrix.def"
#undef MATRIX
    MATRIX_UNITS
} MatrixKind;

typedef struct {
    MatrixKind kind;
    const char *name;
    bool bf16, i8; /* what it multiplies: pairs of bf16, quads of bytes */
    bool model;    /* C functions stand in for its instructions: for tests on any CPU */
    int tiles, rows, row_bytes;
} MatrixUnit;

typedef enum {
    GPU_none,
#define GPU(id, name, capability, ptx, shared, chunk, solved, block, units, f32, bf16, memory)     \
    GPU_##id,
#include "machine/gpus.def"
#undef GPU
    GPUS
} GpuKind;

/* What a GPU's code is made for. */
typedef struct {
    GpuKind kind;
    const char *name;     /* sm_80 */
    int capability;       /* 80 */
    const char *ptx;      /* LLVM's feature of the PTX version */
    int64_t shared_bytes; /* that the threads of a block can share, at most */
    int64_t chunk;        /* of an SSD */
    int64_t solved;       /* of the delta rule, products of bf16; 0: token after token */
    int64_t block;        /* tokens of a pass */
    int units;            /* multiprocessors */
    /* As stated of the usual one: GFLOP/s of multiply-adds and of tensor cores, GB/s of memory. */
    double f32_gflops, bf16_gflops, memory_gbs;
    bool model; /* C functions stand in for its threads: for tests on any CPU */
    /* Before the rules of products.def (machine/product.h): what was measured; borrowed. */
    const struct ProductRule *measured;
    int nmeasured;
} Gpu;
enum {
    GPU_WARP = 32, /* threads in step */
    GPU_WARPGROUP = 4 * GPU_WARP,
    GPU_BEGINS_EARLY = 90,  /* from this capability on kernels can begin while others end */
    GPU_MOST_CLUSTER = 8,   /* blocks */
    GPU_MOST_THREADS = 1024 /* of a block */
};

/* A CPU, one core of it. Of `features` follow vectors, registers and dots (machine.c). */
typedef struct {
    const char *cpu;    /* LLVM's name: znver4, x86-64-v3, neoverse-v1 ... */
    const char *llvm;   /* LLVM's feature string beyond the CPU's own; "" for a named CPU */
    const char *triple; /* LLVM's: x86_64-unknown-linux-gnu ... */
    Arch arch;
    bool native;          /* the machine that this process runs on */
    uint64_t features;    /* bits of AbiFeature that code for it may use */
    int vector_bytes;     /* widest vector worth using: 64, 32 or 16 */
    int vector_registers; /* of that width */
    bool fma;             /* false: a product and a sum, with a register for the product */
    bool bf16_dot;        /* dots of bf16 pairs: vdpbf16ps, bfdot; false: emulated */
    bool i8_dot;          /* dots of four bytes: vpdpbusd, usdot */
    MatrixUnit matrix;    /* kind MATRIX_none: it has none, or code is not to use it */
    MatrixUnit panels;    /* that weights are packed for: matrix, or what a variant beside has */
    Gpu gpu; /* that steps run on; kind GPU_none: they run on the CPU, as those of init always do */
    const char *refused; /* name of a unit that this process may not use; NULL: none */
    int64_t l1_bytes, l2_bytes;
    CostTable costs; /* nanoseconds of each kind of work */
} Machine;

/* A row of cpus.def with the constants that are shipped for it. False: there is none. */
bool machine_named(const char *name, Machine *out);
/* The machine of this process, as LLVM describes it: its name for the CPU, its features as text
 * "+sse2,-avx,...", its triple. allowed: the process may use a matrix unit. Caches are as the
 * system says. False: an architecture that code is not made for. */
bool machine_native(const char *cpu, const char *llvm, const char *triple, bool allowed,
                    Machine *out);
/* What a user is told of the machine: a unit that is refused. NULL: nothing. arena text. */
const char *machine_note(Arena *arena, const Machine *machine);

/* What the option compile.matrix asks for: auto: the CPU's unit; none: vectors alone; model: C
 * functions in its place (with the CPU's own unit, or else AMX's shape). */
bool machine_matrix(Machine *machine, const char *word);

/* What the option compile.device asks for: cpu: nothing; a name of gpus.def; model: C functions in
 * a GPU's place. False: none of these. */
bool machine_gpu(Machine *machine, const char *word);
/* The row of gpus.def whose code is best on a GPU of that capability, ten times; false: none runs.
 */
bool machine_gpu_found(Machine *machine, int capability);
/* The machine that code for the GPU of `machine` is made for, as LLVM knows it: plain numbers, no
 * vectors. */
Machine machine_of_gpu(const Machine *machine);

/* Code without the unit, over weights that are packed as with it: one copy of them serves both. */
void machine_vectors(Machine *machine);

/* For `unknown CPU`: "did you mean ...?" or every name. arena text. */
const char *machine_names_near(Arena *arena, const char *name);

/* Order of preference: wider vectors first, then what they can do. */
bool machine_asks_more(const Machine *a, const Machine *b);
/* Feature bits that code for the machine needs: of a matrix unit only where code uses it. */
uint64_t machine_needs(const Machine *machine);
/* What code for `machine` needs and host has not: a feature, or "its architecture"; NULL: nothing.
 */
const char *machine_lacks(const Machine *host, const Machine *machine);

/* The constants shipped for a CPU: its own, or those of CPUs with such vectors. */
CostTable costs_shipped(const Machine *machine);
/* machine->costs as a row of costs.def. */
void costs_print_row(StrBuf *out, const Machine *machine);

/* LLVM's names of machine->features, in lines of `width` columns; lines after the first begin with
 * `indent` spaces, which the caller has used of the first. */
void machine_put_features(StrBuf *out, const Machine *machine, size_t indent, size_t width);

int64_t machine_lanes(const Machine *machine); /* f32 lanes of a vector, at least 1 */
/* Bytes that what kernels read and write in bulk is aligned to: a cache line; two of them where a
 * matrix unit loads tiles, which takes three times as long from odd lines (bench/NOTES.md, "Matrix
 * unit"). */
int64_t machine_alignment(const Machine *machine);
/* Bytes from row to row of activations, whose rows are `bytes` long. Beside a matrix unit, whose
 * tiles are columns of rows, long rows are an odd number of lines apart: so they are in different
 * sets of the caches, and no line is shared by two panels of results. */
int64_t machine_row_bytes(const Machine *machine, int64_t bytes);

#endif
