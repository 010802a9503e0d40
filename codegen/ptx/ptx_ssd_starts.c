/* codegen/ptx/ptx_ssd_starts.c -- the states from which stretches of a sequence go on, before all
 * of them are made side by side (ptx_ssd_wgmma.c); by wgmma, of a GPU of capability 9.0.
 *
 * Of each run only h^T = exp(a_last) h^T + (weight x)^T B is made, by the same products in the same
 * order as there. One run after the other: so it is all about how soon the next can begin. A block
 * has 64 columns of a head and a piece of the states, in four warps; four more feed them, by a ring
 * of places for x, B and decays of a run:
 *
 *     feeder f: for runs f, f + 4, ...:
 *         wait until the run's place was read; begin to copy x and B to it
 *         ask for dt of the next; make the decays, put them there and signal that
 *     the others: for each run:
 *         scale the state, begin its products
 *         meanwhile wait for the next run's place, load x of it and weigh that, in registers
 *         when the products have ended, signal that the run's place was read
 *
 * x and B are copied as boxes by maps of them where their rows allow (ptx_box_copy): copies then
 * arrive by themselves. Otherwise the feeder of a run copies them, or rounds them on the way.
 *
 * Predicted: a run of 64 states is 130 cycles of products, 60 until they are there, 85 of scaling
 * and some 75 of the rest: 350. Measured on an H200 by samples: 590 to 680, 0.39 us, as one warp
 * has 230 to 270 instructions a run and waits for one after the other: feeders wait for it, and
 * products end before the next operands are made. Weighed by eight feeders, in shared memory, a run
 * of sequences by themselves took a sixth less (bench/NOTES.md, "A GPU: the SSD"). */
#include "codegen/ptx/ssd_pieces.h"
#include "codegen/ptx/ssd_wgmma.h"

#include <string.h>

/* FEEDERS: warps beside those of the state. PLACES: most of the ring. */
enum { FEEDERS = 4, PLACES = 8, WARPS = PTX_GROUP_WARPS + FEEDERS };
enum { ROWS = PTX_SSD_ROWS_BYTES, SIGNAL_BYTES = sizeof(int64_t) };

typedef struct {
    PtxGroups g;
    int64_t parts;  /* stretches of a pass */
    int64_t pieces; /* of the states, each of g.n */
    int places;     /* of the ring */
    bool boxes;
    int x, B; /* maps */
    Val shared;
    Val full, empty; /* signals of each place: it was filled, it was read */
    Val stretch;     /* runs */
    Val entry;       /* of the segment's first stretch */
    Val feeder;      /* this warp's number among them */
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

/* A block weighs x whole and multiplies by its piece of B: on an H200 a run takes it 0.33, 0.39 and
 * 0.58 us for 32, 64 and 128 states, as if x were 128 of them. Some multiprocessors go through as
 * many blocks as there are waves: the fewest pieces for which those take least, of one sequence and
 * of two. */
enum { WEIGHING = 128 };

int64_t
ptx_ssd_pieces(int64_t states, int64_t columns, int64_t units, int64_t *each)
{
    int64_t least = INT64_MAX, chosen = 1;
    for (int64_t pieces = 1; pieces <= states / PTX_SSD_TILE; pieces++) {
        const int64_t n = round_up((states + pieces - 1) / pieces, PTX_SSD_TILE);
        const int64_t one = (columns * pieces + units - 1) / units;
        const int64_t two = (2 * columns * pieces + units - 1) / units;
        const int64_t takes = (one + two) * (WEIGHING + n);
        const bool empty = (pieces - 1) * n >= states;
        if (n > PTX_GROUPS_FEW_STATES || takes >= least || empty)
            continue;
        least = takes;
        chosen = pieces;
        *each = n;
    }
    return chosen;
}

static void
choose_pieces(const Cg *c, Starts *v)
{
    const int64_t columns = v->g.s.heads * v->g.parts;
    v->pieces = ptx_ssd_pieces(v->g.n, columns, c->machine->gpu.units, &v->g.n);
}

/* Blocks that are to run at the same time on a multiprocessor. */
static int
resident_of(const Starts *v)
{
    return v->g.n <= PTX_GROUPS_FEW_STATES / 2 ? 2 : 1;
}

static int64_t
place_bytes(const Starts *v)
{
    return run_bytes(v) + ptx_ssd_decay_bytes(&v->g.s) + 2 * SIGNAL_BYTES;
}

static void
choose_places(const Cg *c, Starts *v)
{
    enum { BLOCKS_OWN = 1024 }; /* what a multiprocessor keeps of each block */
    const int64_t room = c->machine->gpu.shared_bytes / resident_of(v) - BLOCKS_OWN;
    v->places = PLACES;
    while (v->places * place_bytes(v) > room)
        v->places--;
}

/* ---- maps of x and B ---------------------------------------------------------------------------
 */

static bool
has_boxes(const CgKernel *k)
{
    const Node *n = k->kernel->anchor;
    return ptx_groups_in_boxes(k, n->in[0]) && ptx_groups_in_boxes(k, n->in[3]);
}

int
ptx_ssd_starts_maps(const Cg *c, CgKernel *k)
{
    (void)c;
    return has_boxes(k) ? 2 : 0;
}

static void
make_maps(Starts *v)
{
    const PtxSsd *s = &v->g.s;
    v->boxes = has_boxes(s->k);
    if (!v->boxes)
        return;
    v->x = ptx_groups_map(s->k, s->x, s->heads * s->head_dim);
    v->B = ptx_groups_map(s->k, s->B, s->groups * s->states);
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

static Val
x_of(Cg *c, const Starts *v, Val place)
{
    return cg_offset(c, v->shared, cg_mul(c, place, cg_i64(c, run_bytes(v))));
}

static PtxDecay
decay_of(Cg *c, const Starts *v, Val place)
{
    const int64_t bytes = ptx_ssd_decay_bytes(&v->g.s);
    const Val first = cg_offset(c, v->shared, cg_i64(c, v->places * run_bytes(v)));
    return ptx_ssd_decay_at(c, &v->g.s, cg_offset(c, first, cg_mul(c, place, cg_i64(c, bytes))));
}

static Val
signal_of(Cg *c, Val signals, Val place)
{
    return cg_offset(c, signals, cg_mul(c, place, cg_i64(c, SIGNAL_BYTES)));
}

static void
first_lane_gives(Cg *c, Val signals, Val place)
{
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
    ptx_signal_give(c, signal_of(c, signals, place));
    cg_endif(c, &one);
}

static void
open_ring(Cg *c, Starts *v)
{
    const int64_t before = v->places * (run_bytes(v) + ptx_ssd_decay_bytes(&v->g.s));
    v->shared = ptx_shared(c, v->g.s.k, v->places * place_bytes(v));
    v->full = cg_offset(c, v->shared, cg_i64(c, before));
    v->empty = cg_offset(c, v->full, cg_i64(c, (int64_t)v->places * SIGNAL_BYTES));
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    for (int i = 0; i < v->places; i++) {
        ptx_signal_open(c, signal_of(c, v->full, cg_i64(c, i)), v->boxes ? 2 : 1);
        ptx_signal_open(c, signal_of(c, v->empty, cg_i64(c, i)), PTX_GROUP_WARPS);
    }
    cg_endif(c, &one);
    ptx_barrier(c);
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
    ptx_groups_open(c, &v->g, ptx_block(c, 1), head);
    v->g.state = cg_mul(c, piece, cg_i64(c, v->g.n));
    v->stretch = ptx_ssd_stretch(c, v->g.s.k, v->parts);
    v->entry = ptx_ssd_entry(c, &v->g.s.seg, v->stretch);
    const Val last = cg_div(c, cg_sub(c, v->g.to, cg_i64(c, 1)), v->stretch);
    v->g.to = cg_mul(c, last, v->stretch);
}

/* ---- the feeders ------------------------------------------------------------------------------
 */

/* By one thread: x and B arrive by themselves. */
static void
copy_boxes(Cg *c, const Starts *v, const PtxRun *run, Val place)
{
    const PtxSsd *s = &v->g.s;
    const Val to = x_of(c, v, place), full = signal_of(c, v->full, place);
    const Val head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const Val group = cg_mul(c, s->group, cg_i64(c, s->states));
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
    ptx_signal_expect(c, full, run_bytes(v));
    ptx_box_copy(c, s->k, to, v->x, cg_add(c, head, v->g.begin), run->row, full);
    for (int64_t at = 0; at < v->g.n; at += PTX_GROUP_COLUMNS) {
        const Val first = cg_add(c, cg_add(c, group, v->g.state), cg_i64(c, at));
        const Val there = cg_offset(c, to, cg_i64(c, ROWS + ptx_groups_bytes(at)));
        ptx_box_copy(c, s->k, there, v->B, first, run->row, full);
    }
    cg_endif(c, &one);
}

/* By a warp, unit by unit. */
static void
copy_units(Cg *c, const Starts *v, const PtxRun *run, Val place)
{
    const PtxSsd *s = &v->g.s;
    const Val x = x_of(c, v, place);
    PtxStage both[] = {ptx_ssd_stage_x(c, s, s->head, v->g.begin, PTX_GROUP_COLUMNS),
                       ptx_ssd_stage_group(c, s, s->B)};
    both[1].begin = v->g.state;
    both[1].columns = v->g.n;
    both[1].whole = s->states % v->g.n == 0;
    for (int i = 0; i < 2; i++) {
        both[i].thread = ptx_lane(c);
        both[i].threads = GPU_WARP;
        both[i].run = *run;
        both[i].to = (PtxRows){i ? cg_offset(c, x, cg_i64(c, ROWS)) : x, 0};
        ptx_ssd_stage(c, &both[i]);
    }
    ptx_copy_commit(c);
}

/* What is made waits for what is copied by boxes; other copies are waited for here. */
static void
feed_run(Cg *c, const Starts *v, Val number, const Val *dt, Val *next)
{
    const PtxSsd *s = &v->g.s;
    const Val places = cg_i64(c, v->places), last = cg_sub(c, v->g.to, cg_i64(c, 1));
    const Val round = LLVMBuildTrunc(c->b, cg_div(c, number, places), c->i32, "");
    const Val place = LLVMBuildURem(c->b, number, places, "");
    const Val one = LLVMConstInt(c->i32, 1, 0);
    const Val odd = LLVMBuildXor(c->b, LLVMBuildAnd(c->b, round, one, ""), one, "");
    const PtxRun run = ptx_ssd_run(c, s, number);
    const PtxDecay decay = decay_of(c, v, place);
    ptx_signal_wait(c, signal_of(c, v->empty, place), odd);
    (v->boxes ? copy_boxes : copy_units)(c, v, &run, place);
    const PtxRun after = ptx_ssd_run(c, s, cg_min(c, cg_add(c, number, cg_i64(c, FEEDERS)), last));
    ptx_ssd_load_dt(c, s, &after, next);
    ptx_ssd_make_decay(c, s, &run, &decay, dt);
    if (!v->boxes) {
        ptx_copy_wait(c, 0);
        ptx_wgmma_show(c);
    }
    ptx_warp_barrier(c);
    first_lane_gives(c, v->full, place);
}

static void
feed_all(Cg *c, const Starts *v)
{
    const PtxSsd *s = &v->g.s;
    const PtxRun first = ptx_ssd_run(c, s, cg_min(c, v->feeder, cg_sub(c, v->g.to, cg_i64(c, 1))));
    Val dt[PTX_SSD_LANE_TOKENS], next[PTX_SSD_LANE_TOKENS], var[PTX_SSD_LANE_TOKENS];
    ptx_ssd_load_dt(c, s, &first, dt);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        var[i] = cg_var(c, c->f32, dt[i], "dt");
    CgLoop run = cg_loop(c, "feed", v->feeder, v->g.to, FEEDERS);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        dt[i] = cg_get(c, c->f32, var[i]);
    feed_run(c, v, run.i, dt, next);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        cg_set(c, var[i], next[i]);
    cg_loop_end(c, &run);
}

/* ---- the state --------------------------------------------------------------------------------
 */

/* Variables: weight x of a run, as left operands, and what is kept of the state before it; the
 * place where the run is, and that of the one after it, which was filled, with its round (i32).
 * Runs take turns with two sets of operands: the next run's are made while products read one's. */
enum { TURNS = 2 };
typedef struct {
    Val x[TURNS][PTX_GROUP_STEPS][4], kept, place;
    Val ahead, odd;
} Ready;

/* What a run's place has, as it was loaded. */
typedef struct {
    Val x[PTX_GROUP_STEPS][4], weight[PTX_GROUP_PAIRS][2], kept;
} Loaded;

static Ready
open_ready(Cg *c)
{
    const Val zero = LLVMConstInt(c->i32, 0, 0);
    Ready r = {.kept = cg_var(c, c->f32, NULL, "kept"),
               .place = cg_var(c, c->i64, cg_i64(c, 0), "place"),
               .ahead = cg_var(c, c->i64, cg_i64(c, 0), "ahead"),
               .odd = cg_var(c, c->i32, zero, "odd")};
    for (int i = 0; i < TURNS * PTX_GROUP_STEPS * 4; i++)
        r.x[i / 4 / PTX_GROUP_STEPS][i / 4 % PTX_GROUP_STEPS][i % 4] = cg_var(c, c->i32, NULL, "x");
    return r;
}

/* The place of the run after that ahead, and whether it is known to be filled (i1). If there is no
 * such run (more: i1), that ahead itself. */
typedef struct {
    Val place, odd, filled;
} Further;

static Further
look_further(Cg *c, const Starts *v, const Ready *r, Val more)
{
    const Val ahead = cg_get(c, c->i64, r->ahead), odd = cg_get(c, c->i32, r->odd);
    const Val next = cg_add(c, ahead, cg_i64(c, 1)), one = LLVMConstInt(c->i32, 1, 0);
    const Val inside = cg_less(c, next, cg_i64(c, v->places));
    const Val ring = LLVMBuildSelect(c->b, inside, next, cg_i64(c, 0), "");
    const Val round = LLVMBuildSelect(c->b, inside, odd, LLVMBuildXor(c->b, odd, one, ""), "");
    Further f = {.place = LLVMBuildSelect(c->b, more, ring, ahead, ""),
                 .odd = LLVMBuildSelect(c->b, more, round, odd, "")};
    f.filled = ptx_signal_over(c, signal_of(c, v->full, f.place), f.odd);
    return f;
}

static void
go_further(Cg *c, const Starts *v, const Ready *r, const Further *f)
{
    CgIf unknown = cg_if(c, LLVMBuildNot(c->b, f->filled, ""));
    ptx_signal_wait(c, signal_of(c, v->full, f->place), f->odd);
    cg_endif(c, &unknown);
    cg_set(c, r->place, cg_get(c, c->i64, r->ahead));
    cg_set(c, r->ahead, f->place);
    cg_set(c, r->odd, f->odd);
}

static void
load_run(Cg *c, const Starts *v, Val place, Loaded *l)
{
    const PtxDecay decay = decay_of(c, v, place);
    const Val last = cg_at(c, decay.enter, DTYPE_f32, cg_i64(c, PTX_SSD_RUN - 1));
    ptx_groups_load_x(c, &v->g, x_of(c, v, place), l->x);
    ptx_groups_load_weights(c, &v->g, &decay, l->weight);
    l->kept = cg_vload(c, last, DTYPE_f32, 1, NULL);
}

static void
make_ready(Cg *c, const Ready *r, Loaded *l, int turn)
{
    Val x[PTX_GROUP_STEPS][4];
    ptx_groups_weigh_by(c, l->weight, l->x, x);
    cg_set(c, r->kept, l->kept);
    for (int j = 0; j < PTX_GROUP_STEPS; j++)
        for (int e = 0; e < 4; e++)
            cg_set(c, r->x[turn][j][e], x[j][e]);
}

/* Variables: the run where the next stretch begins, and its entry. */
typedef struct {
    Val run, entry;
} Next;

/* A state that is rounded after each run is so as it is stored, and as the next run scales it, so
 * that these are done side by side: to round it again changes nothing. */
static void
round_each(Cg *c, Starts *v)
{
    if (v->g.s.stored != DTYPE_f32 && v->g.s.chunk == PTX_SSD_RUN)
        ptx_groups_round(c, &v->g);
}

static void
store_if_begins(Cg *c, Starts *v, const Next *next, Val run)
{
    const Val begins = LLVMBuildICmp(c->b, LLVMIntEQ, cg_get(c, c->i64, next->run), run, "");
    CgIf stretch = cg_if(c, begins);
    const Val entry = cg_get(c, c->i64, next->entry);
    round_each(c, v);
    ptx_groups_store_start(c, &v->g, entry);
    cg_set(c, next->entry, cg_add(c, entry, cg_i64(c, 1)));
    cg_set(c, next->run, cg_add(c, run, v->stretch));
    cg_endif(c, &stretch);
}

/* Loads of the next run are on their way while the state is scaled, and what is made of them while
 * products are. After the last run its own is made ready once more. */
static void
go_through(Cg *c, Starts *v, const Ready *r, Val run, int turn)
{
    const Val place = cg_get(c, c->i64, r->place), two = cg_i64(c, 2);
    const Val kept = cg_get(c, c->f32, r->kept);
    Val x[PTX_GROUP_STEPS][4];
    Loaded next;
    for (int j = 0; j < PTX_GROUP_STEPS; j++)
        for (int e = 0; e < 4; e++)
            x[j][e] = cg_get(c, c->i32, r->x[turn][j][e]);
    const Val more = cg_less(c, cg_add(c, run, two), v->g.to);
    const Further further = look_further(c, v, r, more);
    load_run(c, v, cg_get(c, c->i64, r->ahead), &next);
    v->g.run = (PtxRun){ptx_ssd_run(c, &v->g.s, run).row, cg_i64(c, PTX_SSD_RUN)};
    round_each(c, v);
    const Val B = ptx_wgmma_columns(c, x_of(c, v, place), cg_i64(c, ROWS), PTX_SSD_ROWS_BYTES);
    ptx_groups_update_of(c, &v->g, kept, B, x);
    go_further(c, v, r, &further);
    make_ready(c, r, &next, 1 - turn);
    if (v->g.s.chunk == PTX_SSD_RUN)
        ptx_groups_ended(c, &v->g);
    else
        ptx_groups_updated(c, &v->g);
    first_lane_gives(c, v->empty, place);
}

static void
run_fed(Cg *c, Starts *v)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1);
    const Next next = {cg_var(c, c->i64, zero, "begins"), cg_var(c, c->i64, v->entry, "entry")};
    const Ready r = open_ready(c);
    Loaded first;
    ptx_groups_open_state(c, &v->g);
    ptx_groups_load(c, &v->g, NULL);
    ptx_signal_wait(c, v->full, LLVMConstInt(c->i32, 0, 0));
    load_run(c, v, zero, &first);
    make_ready(c, &r, &first, 0);
    const Further further = look_further(c, v, &r, cg_less(c, one, v->g.to));
    go_further(c, v, &r, &further);
    CgLoop two = cg_loop(c, "run", zero, v->g.to, TURNS);
    store_if_begins(c, v, &next, two.i);
    go_through(c, v, &r, two.i, 0);
    const Val second = cg_add(c, two.i, one);
    CgIf more = cg_if(c, cg_less(c, second, v->g.to));
    store_if_begins(c, v, &next, second);
    go_through(c, v, &r, second, 1);
    cg_endif(c, &more);
    cg_loop_end(c, &two);
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
    choose_places(c, &v);
    make_maps(&v);
    ptx_resident(c, resident_of(&v));
    ptx_threads(k, (int64_t)WARPS * GPU_WARP);
    ptx_grid(k, 0, ABI_ONE, v.g.s.heads * v.g.parts * v.pieces, 1, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    place_warp(c, &v);
    CgIf is_cut = cg_if(c, cg_less(c, cg_i64(c, 0), v.g.to));
    open_ring(c, &v);
    CgIf role = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, PTX_GROUP_WARPS)));
    run_fed(c, &v);
    cg_else(c, &role);
    feed_all(c, &v);
    cg_endif(c, &role);
    cg_endif(c, &is_cut);
    return true;
}
