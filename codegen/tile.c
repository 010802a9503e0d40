/* codegen/tile.c -- the register tile of every matrix product, staging of operands, and the shares
 * of segments and heads.
 *
 * A tile of rows x vecs accumulators reads, per step of the summed index, `vecs` vectors of the
 * right side and `rows` broadcasts of the left side for rows * vecs FMAs. Nothing here masks:
 * operands are staged in scratch that is padded to whole tiles, and what the padding computes is
 * not stored. */
#include "codegen/tile.h"

/* Multiply-adds a round of the k loop should have at least: enough to hide the loop's own few
 * instructions. A full tile has them in one step; more would only cost compile time
 * (bench/NOTES.md). */
enum { MACS_A_ROUND = 16 };

/* More rows need no more loads than they have FMAs either way, but LLVM spills at 14 x 2; and 12,
 * like the 6 and 4 of wider tiles, divides chunk lengths that are multiples of 24. */
enum { MOST_ROWS = 12 };

/* ---- shapes ------------------------------------------------------------------------------ */

int
cg_tile_rows(const CgTarget *target, int vecs, Dtype dtype)
{
    const bool emulated = dtype == DTYPE_bf16 && !target->bf16_dot; /* both halves, widened */
    const int right = emulated ? 2 * vecs : vecs;
    const int left = (emulated ? 2 : 1) + (target->fma ? 0 : 1);
    const int rows = (target->vector_registers - right - left) / vecs;
    const int most = CG_TILE_MAX / vecs < MOST_ROWS ? CG_TILE_MAX / vecs : MOST_ROWS;
    return rows < 1 ? 1 : rows < most ? rows : most;
}

int
cg_tile_vecs(const CgTarget *target, int64_t width, int lanes)
{
    const int64_t need = (width + lanes - 1) / lanes;
    int best = 1;
    int64_t best_padded = need;
    double best_ratio = 0;
    for (int vecs = 1; vecs <= 6 && vecs <= need; vecs++) {
        const int rows = cg_tile_rows(target, vecs, DTYPE_f32);
        const int64_t padded = round_up(need, vecs);
        const double ratio = (double)(rows * vecs) / (rows + vecs);
        if (padded > best_padded || (padded == best_padded && ratio <= best_ratio))
            continue;
        best = vecs;
        best_padded = padded;
        best_ratio = ratio;
    }
    return best;
}

/* ---- the tile ---------------------------------------------------------------------------- */

CgTile
cg_tile(Cg *c, int rows, int vecs, int lanes)
{
    CgTile tile = {.rows = rows, .vecs = vecs, .lanes = lanes};
    if (rows * vecs > CG_TILE_MAX)
        die("a tile of %d x %d vectors is more than %d", rows, vecs, (int)CG_TILE_MAX);
    const Val zero = cg_splat(c, cg_f32(c, 0), lanes);
    for (int i = 0; i < rows * vecs; i++)
        tile.acc[i] = cg_var(c, cg_vec_type(c, lanes), zero, "acc");
    return tile;
}

static Val
multiply_add(Cg *c, const CgTile *tile, const CgSide *side, Val left, Val right, Val acc)
{
    if (side->dtype == DTYPE_i32)
        return cg_dot_bf16(c, acc, left, right, tile->lanes);
    return cg_fma(c, left, right, acc);
}

/* One step of the summed index; left and right point at that step's element 0. */
static void
mac_step(Cg *c, const CgTile *tile, const CgSide *left, Val left_at, const CgSide *right,
         Val right_at)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    Val row[CG_TILE_MAX];
    for (int v = 0; v < tile->vecs; v++) {
        const Val at = cg_at(c, right_at, right->dtype, cg_i64(c, (int64_t)v * tile->lanes));
        row[v] = cg_vload(c, at, right->dtype, tile->lanes, NULL);
    }
    for (int r = 0; r < tile->rows; r++) {
        const Val at = cg_at(c, left_at, left->dtype, cg_i64(c, r * left->stride));
        const Val one = cg_vload(c, at, left->dtype, 1, NULL);
        const Val splat = cg_splat(c, one, tile->lanes);
        for (int v = 0; v < tile->vecs; v++) {
            const Val acc = tile->acc[r * tile->vecs + v];
            cg_set(c, acc, multiply_add(c, tile, left, splat, row[v], cg_get(c, type, acc)));
        }
    }
}

/* Steps k .. k + count - 1. */
static void
mac_steps(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val k, int count)
{
    const Val l = cg_at(c, left->base, left->dtype, cg_mul(c, k, cg_i64(c, left->step)));
    const Val r = cg_at(c, right->base, right->dtype, cg_mul(c, k, cg_i64(c, right->step)));
    for (int ahead = 0; ahead < count; ahead++)
        mac_step(c, tile, left, cg_at(c, l, left->dtype, cg_i64(c, ahead * left->step)), right,
                 cg_at(c, r, right->dtype, cg_i64(c, ahead * right->step)));
}

static int
unroll_of(const CgTile *tile)
{
    int steps = 1;
    while (steps * tile->rows * tile->vecs < MACS_A_ROUND)
        steps *= 2;
    return steps;
}

void
cg_tile_mac(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val from, Val to)
{
    const int steps = unroll_of(tile);
    const Val round = cg_i64(c, steps);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), round), round);
    const Val middle = cg_add(c, from, whole);
    CgLoop loop = cg_loop(c, "k", from, middle, steps);
    mac_steps(c, tile, left, right, loop.i, steps);
    cg_loop_end(c, &loop);
    if (steps == 1)
        return;
    CgLoop rest = cg_loop(c, "k_rest", middle, to, 1);
    mac_steps(c, tile, left, right, rest.i, 1);
    cg_loop_end(c, &rest);
}

void
cg_tile_scale(Cg *c, const CgTile *tile, Val factors)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    for (int r = 0; r < tile->rows; r++) {
        const Val one = cg_vload(c, cg_at(c, factors, DTYPE_f32, cg_i64(c, r)), DTYPE_f32, 1, NULL);
        const Val splat = cg_splat(c, one, tile->lanes);
        for (int v = 0; v < tile->vecs; v++) {
            const Val acc = tile->acc[r * tile->vecs + v];
            cg_set(c, acc, LLVMBuildFMul(c->b, cg_get(c, type, acc), splat, ""));
        }
    }
}

void
cg_tile_store(Cg *c, const CgTile *tile, Val to, int64_t stride)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    for (int i = 0; i < tile->rows * tile->vecs; i++) {
        const int64_t row = i / tile->vecs, vec = i % tile->vecs;
        const Val at = cg_at(c, to, DTYPE_f32, cg_i64(c, row * stride + vec * tile->lanes));
        cg_vstore(c, at, DTYPE_f32, cg_get(c, type, tile->acc[i]), tile->lanes, NULL);
    }
}

/* ---- rows and columns -------------------------------------------------------------------- */

typedef struct {
    const Value *v;
    Val to, first; /* the staged row, and the column that goes to its start */
    Dtype dtype;
} StageRow;

static void
stage_columns(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const StageRow *s = user;
    const Val to = cg_at(c, s->to, s->dtype, cg_sub(c, at->col, s->first));
    cg_unbind_all(k);
    cg_vstore(c, to, s->dtype, cg_eval(c, k, s->v, at), at->lanes, NULL);
}

void
cg_stage(Cg *c, CgKernel *k, const CgBlock *from, Val to, Dtype dtype, int64_t stride)
{
    StageRow s = {.v = from->v, .first = from->col, .dtype = dtype};
    CgLoop rows = cg_loop(c, "stage", cg_i64(c, 0), from->count, 1);
    s.to = cg_at(c, to, dtype, cg_mul(c, rows.i, cg_i64(c, stride)));
    const Val row = cg_add(c, from->row, rows.i);
    const Val end = cg_add(c, from->col, cg_i64(c, from->width));
    cg_columns(c, k, row, from->col, end, c->lanes, stage_columns, &s);
    cg_loop_end(c, &rows);
}

/* ---- segments and heads ------------------------------------------------------------------ */

CgHeads
cg_heads(Cg *c, CgKernel *k, int64_t heads)
{
    CgHeads h = {0};
    const Val per = cg_i64(c, heads), zero = cg_i64(c, 0);
    cg_share(c, k, cg_mul(c, cg_call_field(c, k, CALL_nseg), per), 1, &h.from, &h.to);
    const Val end = cg_div(c, cg_add(c, h.to, cg_i64(c, heads - 1)), per);
    h.loop = cg_loop(c, "segment", cg_div(c, h.from, per), end, 1);
    const Val before = cg_mul(c, h.loop.i, per);
    h.first = cg_max(c, zero, cg_sub(c, h.from, before));
    h.last = cg_min(c, per, cg_sub(c, h.to, before));
    h.seg = cg_segment(c, k, h.loop.i);
    return h;
}

void
cg_heads_end(Cg *c, CgHeads *share)
{
    cg_loop_end(c, &share->loop);
}
