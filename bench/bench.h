/* bench/bench.h -- measurements: this machine's ceilings, rates of whole models, shares of the one
 * in the other. Everything is measured in the run that prints it. */
#ifndef SSMC_BENCH_BENCH_H
#define SSMC_BENCH_BENCH_H

#include "compiler/compiler.h"

enum { BENCH_MAX_REPEATS = 101 };

/* Repeated measurements of one thing, in its unit. */
typedef struct {
    double median, best; /* best: the smallest time, the greatest rate */
    double spread;       /* (90th percentile - 10th percentile) / median */
} BenchSample;
/* Of values in any order, at least one, which it sorts; ninth: nine in ten are at most that. */
typedef struct {
    double least, median, ninth, most;
} BenchQuantiles;
BenchQuantiles bench_quantiles(double *value, int count);
BenchSample bench_times(double *seconds, int count); /* both sort what they are given */
BenchSample bench_rates(double *rate, int count);

/* ---- the machine (meter.c) -------------------------------------------------------------- */

/* Of what runs the layers: a CPU by number of threads at work at once, or a GPU. GB are 10^9 bytes;
 * zero: not there, or not to be measured.
 */
typedef struct {
    int threads;
    BenchSample f32, bf16, i8; /* of vectors: GFLOP/s, GFLOP/s, GOP/s; 2 of them a multiply-add */
    BenchSample matrix_bf16, matrix_i8; /* of the matrix unit */
    BenchSample read;                   /* GB/s of a buffer far larger than the caches */
    CgProbeId read_by;                  /* the way of walking it that was fastest */
    BenchSample update;                 /* that buffer read and written in place, both counted */
    BenchSample l1, l2, l3; /* reads of buffers of half of each cache (L3: half of the share) */
} BenchCeilings;

/* Compiled probes, threads to run them, a buffer to walk. */
typedef struct BenchProbes BenchProbes;
/* For up to `threads` threads. NULL: *why. */
BenchProbes *bench_probes_open(Arena *arena, const Machine *machine, int threads, const char **why);
void bench_probes_close(BenchProbes *probes);
const char *bench_probe_doc(const BenchProbes *probes, CgProbeId id);
const char *bench_probe_matrix(const BenchProbes *probes); /* the unit's name; NULL: none */
const char *bench_probe_what(const BenchProbes *probes);   /* a GPU, in words; NULL: this CPU */
/* The probe of the fastest unit of `machine` that multiplies operands of that type. */
CgProbeId bench_dot(const Machine *machine, Dtype dtype);
const BenchSample *bench_ceiling_of(const BenchCeilings *ceilings, CgProbeId arithmetic);
/* Those of the machine's GPU as gpus.def states them. */
BenchCeilings bench_stated(const Machine *machine);
/* All ceilings, about a second. */
BenchCeilings bench_ceilings(BenchProbes *probes, int threads);
/* One more measurement of the buffer by a way of walking, some 10 ms: GB/s. */
double bench_probe_memory(BenchProbes *probes, CgProbeId id, int threads);
/* One more of arithmetic, 5 ms: G operations a second; 0 where there is no such instruction. */
double bench_probe_arithmetic(BenchProbes *probes, CgProbeId id, int threads);

/* ---- work of a compiled model (work.c) ------------------------------------------------------ */

/* Of one token in the layers of a prefill graph (stage KERNEL): floating-point operations of
 * projections and of recurrences (SSDs, selective scans), 2 a multiply-add; the head is not in it,
 * nor is attention, whose operations grow with the tokens before.
 */
typedef struct {
    double linear, recurrent;
} BenchFlops;
BenchFlops bench_flops(const Graph *prefill);
/* Of attention, for `rows` tokens of a sequence that has had `past`. */
double bench_attention_flops(const Graph *prefill, double past, double rows);
/* Bytes that must move from memory and back to decode one token of each of `batch` sequences, of
 * `past` tokens: weights that the graph reads once, states read and written once a sequence, rows
 * of growing ones read once. */
double bench_decode_bytes(const Graph *decode, const AbiProgram *program, int batch, double past);
/* Work of a kernel on `rows` token rows of `batch` sequences of `past` tokens (of the head: on one
 * row of each). */
typedef struct {
    double flops; /* of projections, recurrences and attention, as above */
    double bytes; /* weights, states in and out, activations in and out: each once */
} BenchWork;
BenchWork bench_kernel_work(const Graph *g, const Kernel *kernel, int64_t rows, int batch,
                            double past);
/* The least that a kernel can take by its work: its bytes at the rate of memory, or its operations
 * at that of their type, whichever is more. */
typedef struct {
    double seconds;
    bool bytes; /* it is memory that binds */
} BenchFloor;
BenchFloor bench_kernel_floor(const Machine *machine, const BenchCeilings *ceilings,
                              const Kernel *kernel, const BenchWork *work);

/* What a model takes at least on the GPU of `machine`, as text: by length, by batch, by kernel
 * (floors.c). */
void bench_put_floors(StrBuf *out, const Machine *machine, const Graph *const graph[ENTRY_COUNT]);

/* ---- a model, by rounds (rounds.c) ----------------------------------------------------------- */

/* One thing to measure. */
typedef struct {
    EntryId entry;
    int64_t tokens; /* prefill: of the prompt; decode: steps */
    int batch;      /* sequences stepped together */
    int threads;    /* index of the thread count */
    double *raw;    /* [repeats] seconds of each round */
    double
        *beside; /* [2 * repeats] ceilings probed before and after: G operations or GB a second */
    int probed;
    BenchSample seconds, ceiling; /* of one prompt, or of one step */
} BenchItem;

enum {
    BENCH_MAX_ITEMS = 256,
    BENCH_MAX_THREADS = 16,
    BENCH_MAX_BATCH = 256,
    BENCH_MAX_THREADS_A_RUN = 1024
};

typedef struct {
    const Machine *machine;
    const char *name, *version; /* of the model, of ssmc */
    double parameters;
    const Graph *graph[ENTRY_COUNT]; /* stage KERNEL */
    const AbiProgram *program;
    const ssmc_model *model;
    Format format; /* that projections multiply in */
    CgProbeId dot; /* the probe of its ceiling */
    int64_t room;  /* tokens that a sequence can hold */
    int64_t past;  /* tokens of each sequence before it decodes */
    int repeats;
    int threads[BENCH_MAX_THREADS], nthreads;
    BenchItem items[BENCH_MAX_ITEMS];
    int nitems;
    /* Filled by bench_rounds. */
    ssmc_session *session[BENCH_MAX_THREADS];
    ssmc_checkpoint *before; /* a sequence of `past` tokens; NULL: of none */
    BenchCeilings ceilings[BENCH_MAX_THREADS];
    BenchFlops flops;
    ssmc_sampler *greedy;
    int32_t *made; /* [most sequences * most tokens decoded] */
    int32_t *ids;  /* [most tokens] pseudo-random */
    BenchProbes *probes;
} BenchRun;

/* What a run needs to know of a compiled job; threads: the job's. */
void bench_run_of(BenchRun *run, const Job *job);
/* Ceilings, then every item once a round, in turn, so that a machine that slows down slows all of
 * them. False: *why, or NULL when the runtime has said it (*status). */
bool bench_rounds(Arena *arena, BenchRun *run, ssmc_status *status, const char **why);
void bench_end(BenchRun *run);
/* The pieces of that: memory and sessions of a run whose probes are there; an item once, between
 * two probes of its ceiling; what so many rounds of it came to. */
ssmc_status bench_ready(Arena *arena, BenchRun *run);
ssmc_status bench_item_round(BenchRun *run, BenchItem *item, int round);
void bench_item_settle(BenchItem *item, int rounds);
/* One run of an item; a decode's seconds are those of one step. */
ssmc_status bench_item_once(BenchRun *run, const BenchItem *item, double *seconds);
/* Work of an item over its time, in units of its ceiling: 1 is all of it. */
double bench_share(const BenchRun *run, const BenchItem *item);
double bench_item_past(const BenchRun *run, const BenchItem *item); /* tokens, in the mean */
double bench_item_work(const BenchRun *run, const BenchItem *item); /* operations, or bytes */
double bench_tokens_per_s(const BenchItem *item);

/* ---- what is printed (report.c, profile.c) --------------------------------------------------- */

/* What runs the layers, in words: a CPU, or a GPU and what its code is made for. */
const char *bench_device_name(Arena *arena, const Machine *machine);
void bench_put_ceilings(StrBuf *out, const BenchProbes *probes, const BenchCeilings *c);
void bench_put_text(StrBuf *out, const BenchRun *run);
void bench_put_json(StrBuf *out, const BenchRun *run);
/* Equal kernels of an entry: all steps with one name, op and type, in the layers or in the head. */
typedef struct {
    const char *name;
    Op op;       /* kernel_op */
    Dtype dtype; /* of its products' operands: f32, bf16, u8 */
    bool head;
    int count;
    double seconds;
    BenchWork work;
    double least; /* seconds that its operations take at the ceiling of their type */
} BenchKernel;
typedef struct {
    BenchKernel *rows; /* arena; those that took time */
    int count;
    double seconds, wall; /* of all kernels; by the clock */
} BenchProfile;
/* Time of each kernel of an item, run once more with the clock on. */
ssmc_status bench_profile(Arena *arena, BenchRun *run, const BenchItem *item, BenchProfile *out);
ssmc_status bench_put_profile(StrBuf *out, BenchRun *run, const BenchItem *item);

/* ---- what ran when (trace.c) ---------------------------------------------------------------- */

/* Each item once more, as one file of Chrome's trace format, one lane a thread. */
ssmc_status bench_put_trace(StrBuf *out, BenchRun *run, const BenchItem *const *items, int count);

/* ---- a mixer by itself (mixer.c) ------------------------------------------------------------- */

enum { BENCH_MIXER_IDS = 512 };
/* What mixes the tokens of a sequence. */
typedef enum { MIXER_SSD, MIXER_DELTA, MIXER_SCAN, MIXER_ATTENTION, MIXER_COUNT } MixerKind;
typedef struct {
    MixerKind kind;
    int64_t heads, head_dim; /* H, P: H * P channels, also of a selective scan */
    int64_t state, groups;   /* N, of an SSD and of a scan; G, of an SSD */
    int64_t block;           /* most tokens of a pass */
    int64_t room;            /* most tokens of a sequence; 0: SSMC_ROOM */
    int sequences;           /* most at once; 0: 1 */
} BenchMixer;
/* A graph of one mixer, compiled. */
typedef struct {
    ssmc_session *session;
    const AbiProgram *program;
    const Graph *graph[ENTRY_COUNT]; /* stage KERNEL */
    float *logits;                   /* [sequences, vocab] */
    MixerKind kind;
    int sequences;
    int repeats;    /* at most */
    double seconds; /* no further repeat after so many; 0: no such limit */
} BenchMixerRun;
const char *bench_mixer_name(MixerKind kind);
bool bench_mixer_has_size(MixerKind kind); /* of its state: N */
/* Compiles it by the settings, whose model it becomes, in a session of its sequences; an exit
 * status. bench_mixer_close in any case. */
int bench_mixer_open(Job *job, Arena *arena, const Settings *settings, const BenchMixer *size,
                     BenchMixerRun *run);
void bench_mixer_close(Job *job, BenchMixerRun *run);
/* Seconds of its kernels over `tokens` tokens of each of `batch` sequences, from their start, by
 * the session's profile: on a GPU that is its own clock. */
ssmc_status bench_mixer_time(BenchMixerRun *run, int64_t tokens, int batch, BenchSample *out);
/* Of the mixer's kernels in prefill, all such sequences in one pass. */
BenchFloor bench_mixer_floor(const BenchMixerRun *run, const Machine *machine,
                             const BenchCeilings *ceilings, int64_t tokens, int batch);

/* ---- constants (fit.c) ---------------------------------------------------------------------- */

/* Measured times of some work, and how much there was of each kind. */
typedef struct {
    int rows, terms;        /* at most 32 terms */
    const double *count;    /* [rows,terms] */
    const double *measured; /* [rows], above 0 */
    const double *weight;   /* [rows]: how much its error counts; NULL: all alike */
} BenchFit;
/* [terms]: what one of each takes, none below 0, so that sums are near what was measured:
 * least relative errors. A term that is in no row is 0. */
void bench_fit(const BenchFit *fit, double *constant);

#endif
