/* codegen/ptx/ptx_ssd_starts.c -- the states from which stretches of a sequence go on, before all
 * of them are made side by side (ptx_ssd_wgmma.c); by wgmma, of a GPU of capability 9.0.
 *
 * Of each run only h^T = exp(a_last) h^T + (weight x)^T B is made, by the same products in the same
 * order as there. One run after the other: so it is all about how soon the next can begin. A block
 * has 64 columns of a head and a piece of the states, in four warps, which do nothing but scale and
 * multiply what lies in shared memory; four more are feeders. Runs come in sets of four, or of as
 * many as there is room for, one barrier a set: while a set is gone through, feeders weigh x of the
 * next, and each makes the decays of a run of that after it, whose x and B are on their way.
 *
 * Predicted: a run is 128 cycles of products, 60 until they are there and 80 of scaling: 0.16 us,
 * 20 us for 8192 tokens of one sequence whatever there are of heads. Measured on an H200 (24 heads
 * of 64, 64 states a block): 0.42. Feeders are what it waits for: of 3000 cycles a set they take
 * half to copy 64 KB, 43 bytes a cycle, and half for decays and weights. (x weighed by the warps
 * that multiply, and divisions to find where stretches begin: 0.56. Eight feeders: 0.59, not
 * explained.) */
#include "codegen/ptx/ssd_wgmma.h"

#include <string.h>

/* SETS: of runs in shared memory. FEEDERS: warps beside those of the state. */
enum { SETS = 3, FEEDERS = 4, WARPS = PTX_GROUP_WARPS + FEEDERS };
enum { ROWS = PTX_SSD_ROWS_BYTES, FEEDING = FEEDERS * GPU_WARP };

typedef struct {
    PtxGroups g;
    int64_t parts;  /* stretches of a pass */
    int64_t pieces; /* of the states, each of g.n */
    int runs;       /* of a set: at most one for each feeder */
    Val shared;
    Val stretch; /* runs */
    Val sets;    /* that the block goes through */
    Val entry;   /* of the segment's first stretch */
    Val feeder;  /* this warp's number among them */
    Val thread;  /* of theirs */
} Starts;

static bool
bind_operands(CgKernel *k, PtxSsd *s, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    *s = (PtxSsd){.k = k,
                  .x = n->in[0],
                  .dt = n->in[1],
                  .A = n->in[2],
                  .B = n->in[3],
                  .state = n->in[4],
                  .starts = n->out[0],
                  .heads = node_int(n, ATTR_heads, 1),
                  .head_dim = node_int(n, ATTR_head_dim, 1),
                  .groups = node_int(n, ATTR_groups, 1),
                  .states = node_int(n, ATTR_state, 1),
                  .chunk = node_int(n, ATTR_chunk, CHUNK_ALL),
                  .stored = n->in[4]->type.dtype,
                  .run = PTX_SSD_RUN,
                  .coarse = true,
                  .state_only = true};
    const bool runs = s->chunk == CHUNK_ALL || s->chunk % PTX_SSD_RUN == 0;
    if (runs && s->states <= PTX_GROUPS_MOST_STATES &&
        strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0)
        return true;
    diag_error(diag, n->loc,
               "a GPU makes ssd_starts of chunks of whole runs of %d tokens, at most %d states and "
               "dot=bf16",
               PTX_SSD_RUN, PTX_GROUPS_MOST_STATES);
    return false;
}

/* x and B of one. */
static int64_t
run_bytes(const Starts *v)
{
    return ROWS + ptx_groups_bytes(v->g.n);
}

/* wgmma reads from multiples of 1024. */
static int64_t
set_bytes(const Starts *v)
{
    enum { ALIGNED = 1024 };
    return round_up(v->runs * (run_bytes(v) + ptx_ssd_decay_bytes(&v->g.s)), ALIGNED);
}

/* Each block copies x whole and B of its piece, and some multiprocessors go through as many blocks
 * as there are waves of them: the pieces for which those copy the fewest columns, of one sequence
 * and of two. As many as are no worse than fewer. */
static void
choose_pieces(const Cg *c, Starts *v)
{
    const int64_t all = v->g.n, heads = v->g.s.heads * v->g.parts, units = c->machine->gpu.units;
    int64_t least = INT64_MAX;
    for (int64_t pieces = 1; pieces <= all / PTX_SSD_TILE; pieces++) {
        const int64_t n = round_up((all + pieces - 1) / pieces, PTX_SSD_TILE);
        const int64_t one = (heads * pieces + units - 1) / units;
        const int64_t two = (2 * heads * pieces + units - 1) / units;
        const int64_t columns = (one + two) * (PTX_GROUP_COLUMNS + n);
        if (n > PTX_GROUPS_TEAM_STATES || columns > least)
            continue;
        least = columns;
        v->pieces = pieces;
        v->g.n = n;
    }
    v->runs = FEEDERS;
    while (SETS * set_bytes(v) > c->machine->gpu.shared_bytes)
        v->runs--;
}

/* ---- places -----------------------------------------------------------------------------------
 */

/* Of a set, by its number: its first run's x and B, and decay. */
static Val
set_of(Cg *c, const Starts *v, Val set)
{
    const Val place = LLVMBuildURem(c->b, set, cg_i64(c, SETS), "");
    return cg_offset(c, v->shared, cg_mul(c, place, cg_i64(c, set_bytes(v))));
}

static Val
x_of(Cg *c, const Starts *v, Val set, Val number)
{
    return cg_offset(c, set, cg_mul(c, number, cg_i64(c, run_bytes(v))));
}

static PtxDecay
decay_of(Cg *c, const Starts *v, Val set, Val number)
{
    const Val before = cg_mul(c, number, cg_i64(c, ptx_ssd_decay_bytes(&v->g.s)));
    const Val first = cg_offset(c, set, cg_i64(c, v->runs * run_bytes(v)));
    return ptx_ssd_decay_at(c, &v->g.s, cg_offset(c, first, before));
}

/* What the block and this warp have, and how far it goes: to where the last stretch begins. */
static void
place_warp(Cg *c, Starts *v)
{
    const Val block = ptx_block(c, 0), pieces = cg_i64(c, v->pieces);
    const Val column = cg_div(c, block, pieces), parts = cg_i64(c, v->g.parts);
    const Val head = cg_div(c, column, parts);
    const Val piece = cg_sub(c, block, cg_mul(c, column, pieces));
    v->g.begin = cg_mul(c, cg_sub(c, column, cg_mul(c, head, parts)), cg_i64(c, PTX_GROUP_COLUMNS));
    v->g.warp = LLVMBuildURem(c->b, ptx_warp(c), cg_i64(c, PTX_GROUP_WARPS), "");
    v->feeder = cg_sub(c, ptx_warp(c), cg_i64(c, PTX_GROUP_WARPS));
    v->thread = cg_add(c, cg_mul(c, v->feeder, cg_i64(c, GPU_WARP)), ptx_lane(c));
    ptx_groups_open(c, &v->g, ptx_block(c, 1), head);
    v->g.state = cg_mul(c, piece, cg_i64(c, v->g.n));
    v->stretch = ptx_ssd_stretch(c, v->g.s.k, v->parts);
    v->entry = ptx_ssd_entry(c, &v->g.s.seg, v->stretch);
    const Val last = cg_div(c, cg_sub(c, v->g.to, cg_i64(c, 1)), v->stretch);
    v->g.to = cg_mul(c, last, v->stretch);
    v->sets = cg_div_up(c, v->g.to, cg_i64(c, v->runs));
}

/* ---- the feeders ------------------------------------------------------------------------------
 */

static void
stage_one(Cg *c, const Starts *v, Val run, Val x)
{
    const PtxSsd *s = &v->g.s;
    PtxStage both[] = {ptx_ssd_stage_x(c, s, s->head, v->g.begin, PTX_GROUP_COLUMNS),
                       ptx_ssd_stage_group(c, s, s->B)};
    both[1].begin = v->g.state;
    both[1].columns = v->g.n;
    both[1].whole = s->states % v->g.n == 0;
    for (int i = 0; i < 2; i++) {
        both[i].thread = v->thread;
        both[i].threads = FEEDING;
        both[i].run = ptx_ssd_run(c, s, run);
        both[i].to = (PtxRows){i ? cg_offset(c, x, cg_i64(c, ROWS)) : x, 0};
        ptx_ssd_stage(c, &both[i]);
    }
}

/* A set of runs, as many of them as there are. */
static void
feed_set(Cg *c, const Starts *v, Val set)
{
    const PtxSsd *s = &v->g.s;
    Val dt[PTX_SSD_LANE_TOKENS];
    const Val first = cg_mul(c, set, cg_i64(c, v->runs)), at = set_of(c, v, set);
    const Val own = cg_add(c, first, v->feeder), last = cg_sub(c, v->g.to, cg_i64(c, 1));
    const PtxRun run = ptx_ssd_run(c, s, cg_min(c, own, last));
    ptx_ssd_load_dt(c, s, &run, dt);
    for (int i = 0; i < v->runs; i++) {
        const Val number = cg_add(c, first, cg_i64(c, i));
        CgIf is = cg_if(c, cg_less(c, number, v->g.to));
        stage_one(c, v, number, x_of(c, v, at, cg_i64(c, i)));
        cg_endif(c, &is);
    }
    ptx_copy_commit(c);
    CgIf mine = cg_if(c, cg_less(c, v->feeder, cg_i64(c, v->runs)));
    const PtxDecay to = decay_of(c, v, at, v->feeder);
    ptx_ssd_make_decay(c, s, &run, &to, dt);
    cg_endif(c, &mine);
}

static Val
weighed(Cg *c, Val unit, Val weight)
{
    Val out = LLVMGetPoison(LLVMTypeOf(unit));
    for (int e = 0; e < PTX_SSD_UNIT / 2; e++) {
        const Val pair = LLVMBuildExtractElement(c->b, unit, cg_i64(c, e), "");
        const Val both = ptx_pair(c, cg_fmul(c, ptx_low(c, pair), weight),
                                  cg_fmul(c, ptx_high(c, pair), weight));
        out = LLVMBuildInsertElement(c->b, out, both, cg_i64(c, e), "");
    }
    return out;
}

/* weight x in the place of x, of each run of the set: the units that this thread has staged. */
static void
weigh_set(Cg *c, const Starts *v, Val set)
{
    enum { UNITS = PTX_GROUP_COLUMNS / PTX_SSD_UNIT, LINES = FEEDING / UNITS };
    enum { OWN = PTX_SSD_RUN / LINES, UNIT_BYTES = 16 };
    const Val at = set_of(c, v, set), units = cg_i64(c, UNITS);
    const Val line = cg_div(c, v->thread, units);
    const Val col =
        cg_mul(c, cg_sub(c, v->thread, cg_mul(c, line, units)), cg_i64(c, PTX_SSD_UNIT));
    for (int run = 0; run < v->runs; run++) {
        const PtxRows rows = {x_of(c, v, at, cg_i64(c, run)), 0};
        const PtxDecay decay = decay_of(c, v, at, cg_i64(c, run));
        Val to[OWN], unit[OWN], weight[OWN];
        for (int i = 0; i < OWN; i++) {
            const Val token = cg_add(c, line, cg_i64(c, (int64_t)i * LINES));
            to[i] = ptx_ssd_unit_at(c, &rows, token, col);
            unit[i] = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4), to[i], "");
            LLVMSetAlignment(unit[i], UNIT_BYTES);
            weight[i] = cg_vload(c, cg_at(c, decay.weight, DTYPE_f32, token), DTYPE_f32, 1, NULL);
        }
        for (int i = 0; i < OWN; i++)
            LLVMSetAlignment(LLVMBuildStore(c->b, weighed(c, unit[i], weight[i]), to[i]),
                             UNIT_BYTES);
    }
}

/* While the state goes through a set, the next is weighed, whose copies have had since the set
 * before to arrive, and the one after that begins to. */
static void
feed_all(Cg *c, const Starts *v)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1);
    feed_set(c, v, zero);
    feed_set(c, v, one);
    ptx_copy_wait(c, 1);
    ptx_barrier(c); /* decays of the first set are there */
    weigh_set(c, v, zero);
    ptx_wgmma_show(c);
    CgLoop set = cg_loop(c, "feed", zero, v->sets, 1);
    ptx_barrier(c);
    feed_set(c, v, cg_add(c, set.i, cg_i64(c, 2)));
    ptx_copy_wait(c, 1);
    weigh_set(c, v, cg_add(c, set.i, one));
    ptx_wgmma_show(c);
    cg_loop_end(c, &set);
}

/* ---- the state --------------------------------------------------------------------------------
 */

/* Variables: the run where the next stretch begins, and its entry. */
typedef struct {
    Val run, entry;
} Next;

static void
store_if_begins(Cg *c, const Starts *v, const Next *next, Val run)
{
    const Val begins = LLVMBuildICmp(c->b, LLVMIntEQ, cg_get(c, c->i64, next->run), run, "");
    CgIf stretch = cg_if(c, begins);
    const Val entry = cg_get(c, c->i64, next->entry);
    ptx_groups_store(c, &v->g, entry);
    cg_set(c, next->entry, cg_add(c, entry, cg_i64(c, 1)));
    cg_set(c, next->run, cg_add(c, run, v->stretch));
    cg_endif(c, &stretch);
}

static void
go_through(Cg *c, Starts *v, Val set, Val number, Val run)
{
    const PtxDecay decay = decay_of(c, v, set, number);
    const Val last = cg_at(c, decay.enter, DTYPE_f32, cg_i64(c, PTX_SSD_RUN - 1));
    const Val x = x_of(c, v, set, number);
    v->g.run = ptx_ssd_run(c, &v->g.s, run);
    ptx_groups_update_by(c, &v->g, cg_vload(c, last, DTYPE_f32, 1, NULL), x,
                         cg_offset(c, x, cg_i64(c, ROWS)));
}

static void
run_fed(Cg *c, Starts *v)
{
    const Next next = {cg_var(c, c->i64, cg_i64(c, 0), "begins"),
                       cg_var(c, c->i64, v->entry, "entry")};
    ptx_groups_open_state(c, &v->g);
    ptx_groups_load(c, &v->g, NULL);
    ptx_barrier(c);
    CgLoop set = cg_loop(c, "set", cg_i64(c, 0), v->sets, 1);
    ptx_barrier(c);
    const Val first = cg_mul(c, set.i, cg_i64(c, v->runs)), at = set_of(c, v, set.i);
    const Val count = cg_min(c, cg_i64(c, v->runs), cg_sub(c, v->g.to, first));
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), count, 1);
    const Val number = cg_add(c, first, run.i);
    store_if_begins(c, v, &next, number);
    go_through(c, v, at, run.i, number);
    cg_loop_end(c, &run);
    cg_loop_end(c, &set);
    store_if_begins(c, v, &next, v->g.to);
}

bool
ptx_ssd_starts(Cg *c, CgKernel *k, Diag *diag)
{
    Starts v = {.parts = node_int(k->kernel->anchor, ATTR_parts, 2)};
    if (!bind_operands(k, &v.g.s, diag))
        return false;
    ptx_groups_sizes(&v.g);
    choose_pieces(c, &v);
    ptx_threads(k, (int64_t)WARPS * GPU_WARP);
    ptx_grid(k, 0, ABI_ONE, v.g.s.heads * v.g.parts * v.pieces, 1, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    v.shared = ptx_shared(c, k, SETS * set_bytes(&v));
    place_warp(c, &v);
    CgIf is_cut = cg_if(c, cg_less(c, cg_i64(c, 0), v.g.to));
    CgIf role = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, PTX_GROUP_WARPS)));
    run_fed(c, &v);
    cg_else(c, &role);
    feed_all(c, &v);
    cg_endif(c, &role);
    cg_endif(c, &is_cut);
    return true;
}
