/* codegen/ptx/tile_fed.c -- tiles of a projection by wgmma, one after the other, in blocks as many
 * as run at the same time: four warps feed those that multiply.
 *
 *     four warps: for each stage of each tile:
 *         wait until its place in the ring was read; begin to copy it
 *         when the stage before it has arrived, show it to wgmma and signal that
 *     the others, each four of them for 64 rows of the tile: for each tile:
 *         for each stage: wait for its signal; begin its products; when those of the stage before
 *         have ended, signal that its place was read
 *         what the kernel makes of the sums, straight from registers
 *
 * So stages of the next tile arrive while the sums of this one are finished, and four warps do not
 * wait for the others.
 *
 * A lane has two columns of each 8 that wgmma makes. Rows of W lie in a stage so that these are 4
 * or 8 columns of y side by side, which are read and written together.
 *
 * Of a product of boxes one thread copies those of x and W by maps of them (ptx_box_copy).
 *
 * Where columns have a convolution, what is made of a tile's sums takes nearly as long as the sums.
 * There are warps for it beside those that multiply, which go on with the next tile:
 *
 *     those that multiply, for each tile:
 *         its products, as above
 *         wait until the tile before was finished; put the sums to shared memory, rounded to bf16
 *         as the convolution reads them; signal that
 *     those that finish, for each tile:
 *         wait for its sums; store them, and make the convolution; signal that it was finished
 *
 * and all of both finish the last tile of a block. */
#include "codegen/ptx/conv.h"
#include "codegen/ptx/tiles.h"

/* FEEDER: registers of a thread that copies; QUAD: lanes that have a row's sums together. */
enum { FEEDER = 72, BOX_FEEDER = 56, QUAD = 4, HALF = 8, REGISTERS = 65536, MOST_OF_THREAD = 240 };

typedef struct {
    PtxTiles t;
    PtxRing ring;
    int64_t blocks;
    int lanes;  /* columns that are stored together */
    int beside; /* that a lane has side by side */
    bool boxes;
    int x, early,
        w;       /* maps; early: of the rows of x that are first in a piece; -1: there are none */
    bool finish; /* warps of their own finish tiles */
    Val sums;    /* of which they do */
    Val made, taken,
        round; /* signals: there are a tile's sums, they were read; variable: of both */
} Fed;

/* ---- sizes -------------------------------------------------------------------------------------
 */

static int
parts_of(const Product *product)
{
    return product->rows / product->part_rows * (product->columns / product->part_columns);
}

static int
multipliers(const Product *product)
{
    return parts_of(product) * GPU_WARPGROUP;
}

static int
feeders(const Product *product)
{
    return product->feed == PRODUCT_FINISH ? GPU_WARP : GPU_WARPGROUP;
}

static int
finishers(const Product *product)
{
    return product->threads - multipliers(product) - feeders(product);
}

/* 8 where rows of bf16 are then read and written 16 bytes at a time, and there are no others. */
static int
lanes_of(const PtxLinear *p)
{
    const int lanes = ptx_linear_lanes(p), twice = 2 * lanes;
    const int64_t first = node_int(p->k->kernel->anchor, ATTR_first, 0);
    if (lanes == 1 || p->conv || p->l.out % twice || first % twice)
        return lanes;
    for (int i = 0; i < p->k->noperands; i++) {
        const CgOperand *o = &p->k->operands[i];
        const bool of_rows = o != p->x && o != p->w && o->value->type.shape.rank > 1;
        if (of_rows && ptx_lanes(o, twice) < twice)
            return lanes;
    }
    return twice;
}

static int
beside_of(const PtxLinear *p)
{
    const int lanes = lanes_of(p);
    return lanes < QUAD ? QUAD : lanes;
}

/* Rows of W that lie in a row of their own order. */
static int64_t
together_of(const PtxLinear *p)
{
    return p->conv ? 1 : (int64_t)QUAD * beside_of(p);
}

bool
ptx_fed_finishes(const PtxLinear *p)
{
    return p->product->feed == PRODUCT_FINISH && ptx_conv_of_runs(p) && ptx_conv_of_pairs(p);
}

bool
ptx_fed_by_boxes(const PtxLinear *p)
{
    const bool boxes = p->product->feed == PRODUCT_BOXES && !p->conv;
    return (boxes || ptx_fed_finishes(p)) && p->x_whole && p->w_whole && !p->l.e &&
           p->l.out % together_of(p) == 0;
}

int
ptx_fed_maps(const PtxLinear *p)
{
    return !ptx_fed_by_boxes(p) ? 0 : p->conv ? 3 : 2;
}

static int64_t
pairs_bytes(const Product *product)
{
    return product->rows * ptx_sum_stride(product) * dtype_info[DTYPE_bf16].bytes;
}

int64_t
ptx_fed_bytes(const PtxLinear *p, const Product *product)
{
    const int64_t signals = (2 * product->stages + 2) * (int64_t)sizeof(int64_t);
    return signals + (ptx_fed_finishes(p) ? pairs_bytes(product) : 0);
}

const Product *
ptx_fed_even(Arena *arena, const PtxLinear *p)
{
    enum { STEP = 16, BOX_STEP = 32 }; /* columns of 4 lanes: 4 each, or 8 */
    const int64_t tiles = ptx_parts(p->l.out, p->product->columns);
    const int step = ptx_fed_by_boxes(p) && !p->conv ? BOX_STEP : STEP;
    Product *even = arena_array(arena, 1, sizeof *even);
    *even = *p->product;
    even->columns = even->part_columns = (int)round_up(ptx_parts(p->l.out, tiles), step);
    return even;
}

int
ptx_fed_beside(const PtxTiles *t, int first, int most)
{
    const int together = QUAD * most;
    return first / together * together + together > t->t->columns ? most / 2 : most;
}

/* Lane q of a row's four has columns 8 j + 2 q and 8 j + 2 q + 1 of those that wgmma makes. */
Val
ptx_fed_row(Cg *c, Val row, int beside)
{
    const Val two = cg_i64(c, 2), one = cg_i64(c, 1);
    const Val lane = cg_div(c, row, cg_i64(c, beside));
    const Val pair = LLVMBuildAnd(c->b, cg_div(c, row, two), cg_i64(c, beside / 2 - 1), "");
    const Val before = cg_add(c, cg_mul(c, pair, cg_i64(c, HALF)), cg_mul(c, lane, two));
    return cg_add(c, before, LLVMBuildAnd(c->b, row, one, ""));
}

/* ---- tiles -------------------------------------------------------------------------------------
 */

/* Those of this block. */
static CgLoop
tiles_loop(Cg *c, const Fed *f)
{
    const Val to = ptx_tiles_count(c, f->t.p, f->t.t);
    return cg_loop(c, "tile", ptx_block(c, 0), to, f->blocks);
}

static PtxTile
tile_of(Cg *c, const Fed *f, Val number)
{
    PtxTile tile = ptx_tiles_at(c, f->t.p, f->t.t, number);
    if (tile.lead)
        tile.begin = ptx_conv_segment(c, f->t.p, tile.row);
    return tile;
}

/* ---- those that copy ---------------------------------------------------------------------------
 */

/* The copies of a place have arrived but for those of `behind` places after it. */
static void
filled(Cg *c, const Fed *f, Val place, int behind)
{
    ptx_copy_wait(c, behind);
    ptx_wgmma_show(c);
    ptx_warp_barrier(c);
    ptx_ring_give(c, &f->t, f->ring.full, place, NULL);
}

/* A place is told of when the copies of the next have begun: two are on their way. */
static void
feed(Cg *c, Fed *f)
{
    const PtxTiles *t = &f->t;
    ptx_ring_open(c, &f->ring);
    const Val zero = cg_i64(c, 0), last = cg_var(c, c->i64, cg_i64(c, -1), "last");
    CgLoop tiles = tiles_loop(c, f);
    const PtxTile tile = tile_of(c, f, tiles.i);
    ptx_tiles_place(c, &f->t, &tile);
    ptx_tiles_sides(c, &f->t, &tile);
    CgLoop stage = cg_loop(c, "stage", zero, cg_i64(c, t->steps), 1);
    const Val place = cg_get(c, c->i64, f->ring.place), odd = cg_get(c, c->i32, f->ring.odd);
    const Val before = LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), "");
    ptx_signal_wait(c, ptx_ring_signal(c, f->ring.empty, place), before);
    ptx_stage_copy(c, t, ptx_ring_stage(c, t, place), cg_mul(c, stage.i, cg_i64(c, t->t->depth)));
    ptx_copy_commit(c);
    CgIf some = cg_if(c, cg_less(c, cg_i64(c, -1), cg_get(c, c->i64, last)));
    filled(c, f, cg_get(c, c->i64, last), 1);
    cg_endif(c, &some);
    cg_set(c, last, place);
    ptx_ring_next(c, t, &f->ring);
    cg_loop_end(c, &stage);
    cg_loop_end(c, &tiles);
    filled(c, f, cg_get(c, c->i64, last), 0);
}

/* ---- a thread that copies boxes ----------------------------------------------------------------
 */

/* Rows of W in the order in which a stage has them, as ptx_fed_row says. */
static AbiMap
map_w(const Fed *f)
{
    const PtxLinear *p = f->t.p;
    const int64_t row = 2 * p->l.depth, first = node_int(p->k->kernel->anchor, ATTR_first, 0);
    const int rows = f->t.t->columns, beside = f->beside, quad = QUAD;
    if (p->conv)
        return ptx_map_w(p, rows);
    return (AbiMap){
        .operand = (int32_t)(p->w - p->k->operands),
        .rank = 5,
        .box = {ABI_MAP_ROW, 2,   quad,         beside / 2, rows / (quad * beside)    },
        .dim = {p->l.depth,  2,   quad,         beside / 2, p->l.out / (quad * beside)},
        .stride = {2,           row, beside * row, 2 * row,    quad * beside * row       },
        .offset = first * row
    };
}

static void
make_maps(Fed *f)
{
    const PtxLinear *p = f->t.p;
    const int early = p->conv ? ptx_conv_beside(p) / 2 : 0;
    const AbiMap x = ptx_map_x(p, f->t.t->rows - early), w = map_w(f), first = ptx_map_x(p, early);
    f->x = ptx_map_of(p->k, &x);
    f->w = ptx_map_of(p->k, &w);
    f->early = early ? ptx_map_of(p->k, &first) : -1;
}

/* Input k of the rows of a tile, to a place. */
static void
copy_boxes(Cg *c, const Fed *f, Val place, Val k)
{
    const PtxTiles *t = &f->t;
    CgKernel *kernel = t->p->k;
    const Val to = cg_offset(c, t->shared, ptx_ring_stage(c, t, place));
    const Val full = ptx_ring_signal(c, f->ring.full, place);
    const int early = f->early >= 0 ? ptx_conv_beside(t->p) / 2 : 0;
    ptx_signal_expect(c, full, t->stage_bytes);
    ptx_box_copy(c, kernel, cg_offset(c, to, cg_i64(c, t->w.at)), f->w, k,
                 cg_div(c, t->col, cg_i64(c, together_of(t->p))), full);
    if (early) {
        const Val leads = cg_less(c, cg_i64(c, 0), t->lead);
        const Val first = LLVMBuildSelect(c->b, leads, t->begin, t->row, "");
        ptx_box_copy(c, kernel, to, f->early, k, first, full);
    }
    ptx_box_copy(c, kernel, cg_offset(c, to, cg_i64(c, early * t->row_bytes)), f->x, k,
                 cg_add(c, t->row, cg_i64(c, early)), full);
}

/* Where the boxes of a tile begin, variables. It is found while those of the tile before are on
 * their way. */
typedef struct {
    Val row, col, lead, begin; /* as of PtxTiles; the last two where a piece has rows beside it */
} Begin;

static void
begin_of(Cg *c, const Fed *f, const Begin *to, Val number)
{
    PtxTiles t = f->t;
    const PtxTile tile = tile_of(c, f, number);
    ptx_tiles_place(c, &t, &tile);
    cg_set(c, to->row, t.row);
    cg_set(c, to->col, t.col);
    if (f->early >= 0) {
        cg_set(c, to->lead, t.lead);
        cg_set(c, to->begin, t.begin);
    }
}

static Begin
first_begin(Cg *c, const Fed *f)
{
    const Val zero = cg_i64(c, 0);
    const Begin begin = {cg_var(c, c->i64, zero, "row"), cg_var(c, c->i64, zero, "col"),
                         cg_var(c, c->i64, zero, "lead"), cg_var(c, c->i64, zero, "begin")};
    begin_of(c, f, &begin, ptx_block(c, 0));
    return begin;
}

static void
take_begin(Cg *c, Fed *f, const Begin *from)
{
    f->t.row = cg_get(c, c->i64, from->row);
    f->t.col = cg_get(c, c->i64, from->col);
    f->t.lead = cg_get(c, c->i64, from->lead);
    f->t.begin = cg_get(c, c->i64, from->begin);
}

static void
feed_boxes(Cg *c, Fed *f)
{
    const PtxTiles *t = &f->t;
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, t->thread, cg_i64(c, 0), ""));
    ptx_ring_open(c, &f->ring);
    const Begin next = first_begin(c, f);
    const Val last = cg_sub(c, ptx_tiles_count(c, t->p, t->t), cg_i64(c, 1));
    CgLoop tiles = tiles_loop(c, f);
    take_begin(c, f, &next);
    CgLoop stage = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    const Val place = cg_get(c, c->i64, f->ring.place), odd = cg_get(c, c->i32, f->ring.odd);
    const Val before = LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), "");
    ptx_signal_wait(c, ptx_ring_signal(c, f->ring.empty, place), before);
    copy_boxes(c, f, place, cg_mul(c, stage.i, cg_i64(c, t->t->depth)));
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, stage.i, cg_i64(c, 0), ""));
    begin_of(c, f, &next, cg_min(c, cg_add(c, tiles.i, cg_i64(c, f->blocks)), last));
    cg_endif(c, &first);
    ptx_ring_next(c, t, &f->ring);
    cg_loop_end(c, &stage);
    cg_loop_end(c, &tiles);
    cg_endif(c, &one);
}

/* ---- those that multiply -----------------------------------------------------------------------
 */

static void
multiply(Cg *c, const Fed *f, Val x, Val w)
{
    const PtxTiles *t = &f->t;
    const Val last = cg_var(c, c->i64, cg_i64(c, 0), "last");
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], cg_f32(c, 0));
    CgLoop stage = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    const Val place = cg_get(c, c->i64, f->ring.place);
    ptx_signal_wait(c, ptx_ring_signal(c, f->ring.full, place), cg_get(c, c->i32, f->ring.odd));
    ptx_wgmma_stage(c, t, x, w, ptx_ring_stage(c, t, place));
    ptx_wgmma_wait(c, 1);
    ptx_ring_give(c, &f->t, f->ring.empty, cg_get(c, c->i64, last),
                  cg_less(c, cg_i64(c, 0), stage.i));
    cg_set(c, last, place);
    ptx_ring_next(c, t, &f->ring);
    cg_loop_end(c, &stage);
    ptx_wgmma_all(c, t);
    ptx_ring_give(c, &f->t, f->ring.empty, cg_get(c, c->i64, last), NULL);
}

/* ---- results -----------------------------------------------------------------------------------
 */

/* What a lane has of a row of the tile: columns side by side from `col` on. */
static void
put_beside(Cg *c, const Fed *f, Val row, Val col, const Val *sums, int beside, bool whole)
{
    const int lanes = f->lanes < beside ? f->lanes : beside;
    for (int i = 0; i < beside; i += lanes) {
        const Val at = cg_add(c, col, cg_i64(c, i));
        CgIf inside = {0};
        if (!whole)
            inside = cg_if(c, cg_less(c, cg_add(c, f->t.col, at), cg_i64(c, f->t.out)));
        Val some = sums[i];
        if (lanes > 1)
            some = LLVMGetPoison(cg_vec_type(c, lanes));
        for (int j = 0; lanes > 1 && j < lanes; j++)
            some = LLVMBuildInsertElement(c->b, some, sums[i + j], cg_i64(c, j), "");
        ptx_tile_finish(c, &f->t, row, at, some);
        if (!whole)
            cg_endif(c, &inside);
    }
}

/* whole: the tile has all rows and columns, so nothing parts a load from those before. */
static void
put(Cg *c, const Fed *f, const Val *acc, Val first, bool whole)
{
    const PtxTiles *t = &f->t;
    const Val in_warp = cg_div(c, t->lane, cg_i64(c, QUAD));
    const Val lane = LLVMBuildAnd(c->b, t->lane, cg_i64(c, QUAD - 1), "");
    for (int at = 0, beside = 0; at < t->t->columns; at += QUAD * beside) {
        beside = ptx_fed_beside(t, at, f->beside);
        const Val col = cg_add(c, cg_mul(c, lane, cg_i64(c, beside)), cg_i64(c, at));
        for (int half = 0; half < 2; half++) {
            const Val row = cg_add(c, cg_add(c, first, in_warp), cg_i64(c, half * HALF));
            Val sums[HALF];
            for (int i = 0; i < beside; i++)
                sums[i] = acc[at / 2 + i / 2 * 4 + half * 2 + i % 2];
            CgIf there = {0};
            if (!whole)
                there = cg_if(c, cg_less(c, row, t->rows));
            put_beside(c, f, row, col, sums, beside, whole);
            if (!whole)
                cg_endif(c, &there);
        }
    }
}

static void
results(Cg *c, const Fed *f, Val first)
{
    const PtxTiles *t = &f->t;
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    const Val right = cg_add(c, t->col, cg_i64(c, t->t->columns));
    const Val rows = cg_less(c, cg_i64(c, t->t->rows - 1), t->rows);
    const Val columns = cg_less(c, right, cg_i64(c, t->out + 1));
    CgIf whole = cg_if(c, LLVMBuildAnd(c->b, rows, columns, ""));
    put(c, f, acc, first, true);
    cg_else(c, &whole);
    put(c, f, acc, first, false);
    cg_endif(c, &whole);
}

/* ---- results that warps of their own finish -----------------------------------------------------
 */

static void
round_next(Cg *c, const Fed *f)
{
    const Val odd = cg_get(c, c->i32, f->round);
    cg_set(c, f->round, LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), ""));
}

/* Two rows of a lane: `row` of the tile and that 8 further on. */
static void
put_pairs(Cg *c, const Fed *f, const Val *acc, Val row, int half)
{
    const PtxTiles *t = &f->t;
    const PtxLinear *p = t->p;
    const Val at = cg_add(c, row, cg_i64(c, half * HALF));
    const Val two = cg_mul(c, LLVMBuildAnd(c->b, t->lane, cg_i64(c, QUAD - 1), ""), cg_i64(c, 2));
    const Val to = cg_element(c, f->sums, DTYPE_bf16, at, ptx_sum_stride(t->t), two);
    const Val y_row = ptx_conv_row(c, p, at, t->row, t->lead, t->begin);
    for (int j = 0; j < t->t->columns / HALF; j++) {
        const Val in = cg_add(c, two, cg_i64(c, j * HALF));
        const Val pair = ptx_conv_pair(c, p, y_row, cg_add(c, t->col, in), acc + 4 * j + 2 * half);
        const Val place = cg_at(c, to, DTYPE_bf16, cg_i64(c, j * HALF));
        LLVMSetAlignment(LLVMBuildStore(c->b, pair, place), sizeof(int32_t));
    }
}

/* To those that finish; row: the lane's first. */
static void
hand_over(Cg *c, const Fed *f, Val row)
{
    const PtxTiles *t = &f->t;
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    const Val odd = cg_get(c, c->i32, f->round);
    ptx_signal_wait(c, f->taken, LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), ""));
    for (int half = 0; half < 2; half++)
        put_pairs(c, f, acc, row, half);
    ptx_warp_barrier(c);
    ptx_ring_give(c, &f->t, f->made, cg_i64(c, 0), NULL);
    round_next(c, f);
}

/* The share of a thread, number `thread` of `all`, of the tile whose sums are there after the round
 * that `odd` says. */
static void
finish_tile(Cg *c, const Fed *f, Val number, Val thread, Val all, Val odd)
{
    PtxTiles t = f->t;
    const PtxTile tile = tile_of(c, f, number);
    ptx_tiles_place(c, &t, &tile);
    t.rounded = true;
    t.shared = f->sums;
    t.thread = thread;
    t.all = all;
    const PtxPiece piece = ptx_tile_piece(c, &t);
    const PtxConv conv = ptx_conv_part(c, t.p, &piece);
    ptx_signal_wait(c, f->made, odd);
    ptx_tile_store(c, &t);
    ptx_conv_piece(c, &conv);
}

/* Of a block's last tile those that multiplied have a share, too. */
static void
finish_all(Cg *c, Fed *f)
{
    const int own = finishers(f->t.t), parts = multipliers(f->t.t);
    const Val thread = cg_sub(c, ptx_thread(c), cg_i64(c, parts));
    f->round = cg_var(c, c->i32, LLVMConstInt(c->i32, 0, 0), "round");
    CgLoop tiles = tiles_loop(c, f);
    const Val next = cg_add(c, tiles.i, cg_i64(c, f->blocks));
    const Val more = cg_less(c, next, ptx_tiles_count(c, f->t.p, f->t.t));
    const Val all = LLVMBuildSelect(c->b, more, cg_i64(c, own), cg_i64(c, own + parts), "");
    finish_tile(c, f, tiles.i, thread, all, cg_get(c, c->i32, f->round));
    ptx_warp_barrier(c);
    ptx_ring_give(c, &f->t, f->taken, cg_i64(c, 0), NULL);
    round_next(c, f);
    cg_loop_end(c, &tiles);
}

/* Those that have multiplied all tiles. */
static void
finish_last(Cg *c, const Fed *f)
{
    const int own = finishers(f->t.t), parts = multipliers(f->t.t);
    const Val block = ptx_block(c, 0), blocks = cg_i64(c, f->blocks);
    const Val behind = cg_sub(c, ptx_tiles_count(c, f->t.p, f->t.t), block);
    const Val before = cg_div(c, cg_sub(c, behind, cg_i64(c, 1)), blocks);
    const Val odd = cg_get(c, c->i32, f->round);
    finish_tile(c, f, cg_add(c, block, cg_mul(c, before, blocks)),
                cg_add(c, ptx_thread(c), cg_i64(c, own)), cg_i64(c, own + parts),
                LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), ""));
}

/* ---- a block -----------------------------------------------------------------------------------
 */

static void
multiply_all(Cg *c, Fed *f)
{
    PtxTiles *t = &f->t;
    const Val part = cg_div(c, t->warp, cg_i64(c, GPU_WARPGROUP / GPU_WARP));
    const Val from = cg_mul(c, part, cg_i64(c, t->t->part_rows));
    const Val x = ptx_wgmma_rows(c, t->shared, cg_mul(c, from, cg_i64(c, t->row_bytes)));
    const Val w = ptx_wgmma_rows(c, t->shared, cg_i64(c, t->w.at));
    const Val first = cg_mul(c, t->warp, cg_i64(c, t->t->part_rows / QUAD));
    for (int i = 0; i < t->naccs; i++)
        t->acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    ptx_ring_open(c, &f->ring);
    f->round = cg_var(c, c->i32, LLVMConstInt(c->i32, 0, 0), "round");
    CgLoop tiles = tiles_loop(c, f);
    const PtxTile tile = tile_of(c, f, tiles.i);
    ptx_tiles_place(c, t, &tile);
    multiply(c, f, x, w);
    if (f->finish)
        hand_over(c, f, cg_add(c, first, cg_div(c, t->lane, cg_i64(c, QUAD))));
    else
        results(c, f, first);
    cg_loop_end(c, &tiles);
    if (f->finish)
        finish_last(c, f);
}

static void
open_signals(Cg *c, const Fed *f)
{
    const int four = GPU_WARPGROUP / GPU_WARP;
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    const int warps = parts_of(f->t.t) * four;
    for (int i = 0; i < f->t.t->stages; i++) {
        ptx_signal_open(c, ptx_ring_signal(c, f->ring.full, cg_i64(c, i)), f->boxes ? 1 : four);
        ptx_signal_open(c, ptx_ring_signal(c, f->ring.empty, cg_i64(c, i)), warps);
    }
    if (f->finish) {
        ptx_signal_open(c, f->made, warps);
        ptx_signal_open(c, f->taken, finishers(f->t.t) / GPU_WARP);
    }
    cg_endif(c, &one);
    ptx_barrier(c);
}

/* Those that multiply take what registers the others give back: all together no more than all had
 * at first, or they would wait for ever. */
static int
registers_of(const Product *product, int feeder)
{
    const int at_first = REGISTERS / product->threads / 8 * 8;
    const int most = (at_first * (parts_of(product) + 1) - feeder) / parts_of(product) / 8 * 8;
    return most < MOST_OF_THREAD ? most : MOST_OF_THREAD;
}

static void
open_block(Cg *c, Fed *f, Val shared)
{
    PtxTiles *t = &f->t;
    const int64_t signals = t->t->stages * (int64_t)sizeof(int64_t);
    t->shared = shared;
    t->lane = ptx_lane(c);
    t->warp = ptx_of_warp(c, ptx_warp(c));
    t->thread = cg_sub(c, ptx_thread(c), cg_i64(c, t->t->threads - feeders(t->t)));
    f->sums = cg_offset(c, shared, cg_i64(c, t->stage_bytes * t->t->stages));
    f->ring.full = cg_offset(c, f->sums, cg_i64(c, f->finish ? pairs_bytes(t->t) : 0));
    f->ring.empty = cg_offset(c, f->ring.full, cg_i64(c, signals));
    f->made = cg_offset(c, f->ring.empty, cg_i64(c, signals));
    f->taken = cg_offset(c, f->made, cg_i64(c, (int64_t)sizeof(int64_t)));
}

/* Those that multiply, and four warps that feed them. */
static void
two_roles(Cg *c, Fed *f)
{
    const Product *product = f->t.t;
    const int feeder = f->boxes ? BOX_FEEDER : FEEDER;
    CgIf role = cg_if(c, cg_less(c, f->t.warp, cg_i64(c, multipliers(product) / GPU_WARP)));
    ptx_registers(c, registers_of(product, feeder), true);
    multiply_all(c, f);
    cg_else(c, &role);
    ptx_registers(c, feeder, false);
    (f->boxes ? feed_boxes : feed)(c, f);
    cg_endif(c, &role);
}

/* Those that multiply, those that finish, and a warp that feeds. All keep the registers that they
 * have at first: ptxas wants 154 of them in all roles for a product of 256 columns, and a quarter
 * of a multiprocessor has as many for three warps and no more. So there are 384 threads. */
static void
three_roles(Cg *c, Fed *f)
{
    const Product *product = f->t.t;
    const int behind = (product->threads - feeders(product)) / GPU_WARP;
    CgIf role = cg_if(c, cg_less(c, f->t.warp, cg_i64(c, multipliers(product) / GPU_WARP)));
    multiply_all(c, f);
    cg_else(c, &role);
    CgIf other = cg_if(c, cg_less(c, f->t.warp, cg_i64(c, behind)));
    finish_all(c, f);
    cg_else(c, &other);
    feed_boxes(c, f);
    cg_endif(c, &other);
    cg_endif(c, &role);
}

void
ptx_fed_tiles(Cg *c, PtxLinear *p, const Product *product, Val shared)
{
    Fed f = {.t = ptx_tiles_open(p, product),
             .boxes = ptx_fed_by_boxes(p),
             .finish = ptx_fed_finishes(p)};
    f.blocks = c->machine->gpu.units;
    f.lanes = lanes_of(p);
    f.beside = f.t.w.beside = beside_of(p);
    open_block(c, &f, shared);
    if (f.boxes)
        make_maps(&f);
    CgIf some = cg_if(c, cg_less(c, ptx_block(c, 0), ptx_tiles_count(c, p, product)));
    open_signals(c, &f);
    (f.finish ? three_roles : two_roles)(c, &f);
    cg_endif(c, &some);
}
