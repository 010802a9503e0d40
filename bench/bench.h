/* bench/bench.h -- measurements: this machine's ceilings, rates of whole models, shares of the one
 * in the other. Everything is measured in the run that prints it. */
#ifndef SSMC_BENCH_BENCH_H
#define SSMC_BENCH_BENCH_H

#include "codegen/codegen.h"
#include "runtime/rt.h"

enum { BENCH_MAX_REPEATS = 101 };

/* Times of one measured thing, in seconds. */
typedef struct {
    double median;
    double spread; /* (90th percentile - 10th percentile) / median */
} BenchTime;
BenchTime bench_summary(double *seconds, int count); /* sorts seconds */

typedef struct {
    int threads;
    double f32_gflops;  /* fused multiply-adds on the widest vectors, 2 FLOP each */
    double bf16_gflops; /* bf16 pair dots; 0 where the CPU has none */
    double read_gbs;    /* streaming read of a buffer far larger than the caches */
} BenchCeilings;
/* Measures with `threads` threads, about a second. False: *why. */
bool bench_ceilings(Arena *arena, const CgTarget *target, int threads, BenchCeilings *out,
                    const char **why);

/* Runs work(user, thread) on `threads` threads at once; the seconds from the first start to the
 * last end. */
double bench_parallel(int threads, void (*work)(void *user, int thread), void *user);

/* Work of one token in the layers of a prefill graph (stage KERNEL): floating-point operations of
 * projections and SSD, 2 per multiply-add; the head is not in it. */
typedef struct {
    double linear, ssd;
} BenchFlops;
BenchFlops bench_flops(const Graph *prefill);
/* Bytes that must move to decode one token: packed weights once, state read and written. */
double bench_decode_bytes(const AbiProgram *program);

typedef struct {
    ssmc_session *session;
    int64_t vocab;
    int repeats;
    float *logits; /* [vocab] */
} BenchModel;
/* One prompt of `tokens` pseudo-random ids from an empty state, `repeats` times after one warm-up.
 */
ssmc_status bench_prefill(BenchModel *bm, int64_t tokens, BenchTime *out);
/* `tokens` single steps; seconds are per token. */
ssmc_status bench_decode(BenchModel *bm, int64_t tokens, BenchTime *out);

/* ---- the SSD by itself (bench/ssd.c) ------------------------------------------------------ */

enum { BENCH_SSD_BLOCK = 512, BENCH_SSD_IDS = 512 };
typedef struct {
    int64_t heads, head_dim, state, groups; /* H, P, N, G */
} BenchSsd;
/* Text of a graph, stage MODEL, of one ssd op with form, chunk and dot left open. */
const char *bench_ssd_graph(Arena *arena, const BenchSsd *size);
/* Seconds of its kernel over `tokens` tokens of one sequence, by the session's profile. */
ssmc_status bench_ssd_time(BenchModel *bm, const AbiProgram *abi, int64_t tokens, BenchTime *out);

#endif
