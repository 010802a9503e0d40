/* codegen/ptx/tile_ranges.c -- the stages of a tile multiplied so that every sum is made as
 * ptx_stream.c makes it: the same two products for each 32 inputs, W in the place of a and x in
 * that of b; a sum for each range of inputs that a warp would have had there; and those sums added
 * in their order. So a row gets the same bits whether its pass has few rows or many.
 *
 * RANGES: a block makes one range after the other. SPLIT: a cluster of blocks makes a tile, each
 * block one range of it; their sums stay in their shared memory, where each block reads those of
 * some rows, adds them and stores them. */
#include "codegen/ptx/tiles.h"

enum { MOST_DOWN = PTX_MOST_DOWN, MOST_RIGHT = 4 };

/* A lane's 8 inputs, 16 bytes, of half a stage: chunk 4 half + t of row `row` of a side. */
static void
load8(Cg *c, const PtxTiles *t, const PtxSide *s, Val stage, Val row, Val chunk, int64_t down,
      Val out[4])
{
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)),
                          cg_mul(c, ptx_swizzle(c, t, chunk, row), cg_i64(c, 16)));
    const Val from = cg_offset(c, stage, cg_add(c, at, cg_i64(c, s->at + down * t->row_bytes)));
    const Val all = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4), from, "");
    LLVMSetAlignment(all, 16);
    for (int i = 0; i < 4; i++)
        out[i] = LLVMBuildExtractElement(c->b, all, cg_i64(c, i), "");
}

/* Warps beside each other have the same rows: each adds up the squares of some 8s of them. */
static int
octets(const PtxTiles *t)
{
    const int64_t across = t->t->columns / t->t->part_columns, down = t->t->part_rows / 8;
    return t->factors ? (int)ptx_parts(down, across) : 0;
}

/* The first row of the i-th of this warp's. */
static Val
octet(Cg *c, const PtxTiles *t, int i)
{
    Val row, col;
    ptx_mma_part(c, t, &row, &col);
    const Val right = cg_div(c, col, cg_i64(c, t->t->part_columns));
    const Val mine = cg_add(c, cg_mul(c, right, cg_i64(c, octets(t))), cg_i64(c, i));
    const Val last = cg_i64(c, t->t->part_rows / 8 - 1);
    return cg_add(c, row, cg_mul(c, cg_min(c, mine, last), cg_i64(c, 8)));
}

/* Products of 32 inputs: acc [columns / 16][rows / 8][4]. squares: variables. */
static void
half_stage(Cg *c, const PtxTiles *t, Val offset, int half, Val *acc, const Val *squares)
{
    const int down = t->t->part_rows / 8, right = t->t->part_columns / 16;
    const Val stage = cg_offset(c, t->shared, offset), four = cg_i64(c, 4);
    Val row, col, w[MOST_RIGHT][2][4];
    ptx_mma_part(c, t, &row, &col);
    const Val g = cg_div(c, t->lane, four);
    const Val chunk = cg_add(c, cg_sub(c, t->lane, cg_mul(c, g, four)), cg_i64(c, 4 * half));
    for (int j = 0; j < right; j++)
        for (int high = 0; high < 2; high++)
            load8(c, t, &t->w, stage, cg_add(c, col, g), chunk, 16 * j + 8 * high, w[j][high]);
    for (int i = 0; i < down; i++) {
        Val x[4];
        load8(c, t, &t->x, stage, cg_add(c, row, g), chunk, 8 * i, x);
        for (int k = 0; k < 4; k += 2)
            for (int j = 0; j < right; j++) {
                const Val *low = w[j][0] + k, *high = w[j][1] + k;
                const Val a[] = {low[0], high[0], low[1], high[1]};
                ptx_mma_bf16(c, acc + 4 * (j * down + i), a, x + k);
            }
    }
    for (int i = 0; i < octets(t); i++) {
        Val own[4];
        load8(c, t, &t->x, stage, cg_add(c, octet(c, t, i), g), chunk, 0, own);
        cg_set(c, squares[i], ptx_squares(c, cg_get(c, c->f32, squares[i]), own));
    }
}

typedef struct {
    Val acc[PTX_MOST_ACC]; /* variables: of the present range of inputs */
    Val squares[MOST_DOWN];
    int nsquares;
    Val left; /* steps of it that are left */
    Val any;  /* 0: it is the first */
} Ranges;

/* The sum of a range goes to the product's. */
static void
add_range(Cg *c, const PtxTiles *t, const Ranges *r)
{
    const Val first = LLVMBuildICmp(c->b, LLVMIntEQ, cg_get(c, c->i64, r->any), cg_i64(c, 0), "");
    for (int i = 0; i < t->naccs; i++) {
        const Val of = cg_get(c, c->f32, r->acc[i]), all = cg_get(c, c->f32, t->acc[i]);
        cg_set(c, t->acc[i], LLVMBuildSelect(c->b, first, of, cg_fadd(c, all, of), ""));
        cg_set(c, r->acc[i], cg_f32(c, 0));
    }
    for (int i = 0; i < r->nsquares; i++) {
        const Val of = ptx_squares_fold(c, cg_get(c, c->f32, r->squares[i]));
        const Val sum = cg_fadd(c, cg_get(c, c->f32, t->squares[i]), of);
        cg_set(c, t->squares[i], LLVMBuildSelect(c->b, first, of, sum, ""));
        cg_set(c, r->squares[i], cg_f32(c, 0));
    }
    cg_set(c, r->any, cg_i64(c, 1));
    cg_set(c, r->left, cg_i64(c, t->p->share));
}

static void
multiply(Cg *c, const PtxTiles *t, Val stage, Val offset, const void *user)
{
    const Ranges *r = user;
    (void)stage;
    for (int half = 0; half < t->t->depth / PTX_STREAM_STEP; half++) {
        Val acc[PTX_MOST_ACC];
        for (int i = 0; i < t->naccs; i++)
            acc[i] = cg_get(c, c->f32, r->acc[i]);
        half_stage(c, t, offset, half, acc, r->squares);
        for (int i = 0; i < t->naccs; i++)
            cg_set(c, r->acc[i], acc[i]);
        const Val left = cg_sub(c, cg_get(c, c->i64, r->left), cg_i64(c, 1));
        cg_set(c, r->left, left);
        CgIf end = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, left, cg_i64(c, 0), ""));
        add_range(c, t, r);
        cg_endif(c, &end);
    }
}

void
ptx_ranges_sums(Cg *c, const PtxTiles *t)
{
    Ranges r = {.left = cg_var(c, c->i64, cg_i64(c, t->p->share), "left"),
                .any = cg_var(c, c->i64, cg_i64(c, 0), "any")};
    for (int i = 0; i < t->naccs; i++)
        r.acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "range");
    r.nsquares = octets(t);
    for (int i = 0; i < r.nsquares; i++)
        r.squares[i] = cg_var(c, c->f32, cg_f32(c, 0), "squares");
    ptx_stages(c, t, multiply, &r);
    if (t->steps * (t->t->depth / PTX_STREAM_STEP) % t->p->share)
        add_range(c, t, &r);
}

/* acc to rows of sums in shared memory. */
static void
put(Cg *c, const PtxTiles *t, const Val *acc)
{
    const int down = t->t->part_rows / 8, right = t->t->part_columns / 16;
    const int64_t stride = ptx_sum_stride(t->t);
    const Val four = cg_i64(c, 4);
    Val row, col;
    ptx_mma_part(c, t, &row, &col);
    const Val g = cg_div(c, t->lane, four), two = cg_sub(c, t->lane, cg_mul(c, g, four));
    row = cg_add(c, row, cg_mul(c, two, cg_i64(c, 2)));
    col = cg_add(c, col, g);
    for (int j = 0; j < right; j++)
        for (int i = 0; i < down; i++)
            for (int e = 0; e < 4; e++) {
                const Val to = cg_add(c, row, cg_i64(c, 8 * i + e % 2));
                const Val at = cg_element(c, t->shared, DTYPE_f32, to, stride,
                                          cg_add(c, col, cg_i64(c, 16 * j + 8 * (e / 2))));
                cg_vstore(c, at, DTYPE_f32, acc[4 * (j * down + i) + e], 1, NULL);
            }
}

/* A number for each of the rows whose squares this warp has; four lanes write the same. */
static void
put_of_row(Cg *c, const PtxTiles *t, int i, Val number)
{
    const Val g = cg_div(c, t->lane, cg_i64(c, 4));
    cg_vstore(c, cg_at(c, t->factors, DTYPE_f32, cg_add(c, octet(c, t, i), g)), DTYPE_f32, number,
              1, NULL);
}

void
ptx_ranges_put(Cg *c, const PtxTiles *t, const Val *acc)
{
    for (int i = 0; i < octets(t); i++)
        put_of_row(c, t, i, ptx_row_factor(c, t->p, cg_get(c, c->f32, t->squares[i])));
    put(c, t, acc);
}

/* ---- a range for each block --------------------------------------------------------------------
 */

static void
multiply_half(Cg *c, const PtxTiles *t, Val offset, int half)
{
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    half_stage(c, t, offset, half, acc, t->squares);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

static void
multiply_range(Cg *c, const PtxTiles *t, Val stage, Val offset, const void *user)
{
    (void)user;
    const int64_t halves = t->t->depth / PTX_STREAM_STEP;
    multiply_half(c, t, offset, 0);
    for (int half = 1; half < halves; half++) {
        CgIf more = {0};
        const bool odd = t->p->share % halves != 0;
        if (odd) /* the last stage has some of them */
            more = cg_if(
                c, cg_less(c, cg_mul(c, stage, cg_i64(c, halves)), cg_i64(c, t->p->share - half)));
        multiply_half(c, t, offset, half);
        if (odd)
            cg_endif(c, &more);
    }
}

/* Inputs beyond the range are zeros, which change no sum. */
void
ptx_split_sums(Cg *c, const PtxTiles *t)
{
    ptx_stages(c, t, multiply_range, NULL);
}

void
ptx_split_put(Cg *c, const PtxTiles *t, const Val *acc)
{
    for (int i = 0; i < octets(t); i++)
        put_of_row(c, t, i, ptx_squares_fold(c, cg_get(c, c->f32, t->squares[i])));
    put(c, t, acc);
}

/* What the blocks have at an address, added in the order of their ranges. */
Val
ptx_split_sum(Cg *c, const PtxTiles *t, Val at, int lanes)
{
    Val parts[GPU_MOST_CLUSTER] = {NULL};
    for (int i = 0; i < t->p->sets; i++)
        parts[i] = ptx_load(c, ptx_shared_of(c, at, cg_i64(c, i)), DTYPE_f32, lanes);
    Val sum = parts[0];
    for (int i = 1; i < t->p->sets; i++)
        sum = cg_fadd(c, sum, parts[i]);
    return sum;
}

Val
ptx_split_factor(Cg *c, const PtxTiles *t, Val row)
{
    return ptx_row_factor(c, t->p, ptx_split_sum(c, t, cg_at(c, t->factors, DTYPE_f32, row), 1));
}
