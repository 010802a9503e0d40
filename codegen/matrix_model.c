/* codegen/matrix_model.c -- AMX's instructions as C (Intel SDM, volume 2: LDTILECFG, TILELOADD,
 * TILESTORED, TILEZERO, TDPBF16PS, TDPBSUD). Tiles are of the calling thread. What real tiles do
 * with a wrong configuration (#UD) ends the process here: it is our fault. */
#include "codegen/matrix_model.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ir/util.h"

enum { TILES = 8, ROWS = 16, BYTES = 64 };

typedef struct {
    uint8_t byte[ROWS][BYTES];
} Tile;

static _Thread_local struct {
    Tile tile[TILES];
    uint16_t bytes[TILES]; /* of a row */
    uint8_t rows[TILES];   /* 0: not configured */
} unit;

static void
want(int ok, const char *what)
{
    if (!ok)
        die("matrix model: %s", what);
}

static void
model_open(const uint8_t *configuration)
{
    memset(&unit, 0, sizeof unit);
    want(configuration[0] == 1, "the palette is not 1");
    for (int i = 0; i < TILES; i++) {
        unit.bytes[i] = configuration[16 + 2 * i];
        unit.rows[i] = configuration[48 + i];
        want(unit.bytes[i] <= BYTES && unit.rows[i] <= ROWS, "a tile is too large");
    }
}

static void
model_close(void)
{
    memset(&unit, 0, sizeof unit);
}

static void
model_zero(uint8_t t)
{
    want(t < TILES && unit.rows[t], "tilezero of no tile");
    memset(&unit.tile[t], 0, sizeof unit.tile[t]);
}

static void
model_load(uint8_t t, const uint8_t *at, int64_t stride)
{
    want(t < TILES && unit.rows[t], "tileload of no tile");
    memset(&unit.tile[t], 0, sizeof unit.tile[t]);
    for (int r = 0; r < unit.rows[t]; r++)
        memcpy(unit.tile[t].byte[r], at + r * stride, unit.bytes[t]);
}

static void
model_store(uint8_t t, uint8_t *at, int64_t stride)
{
    want(t < TILES && unit.rows[t], "tilestore of no tile");
    for (int r = 0; r < unit.rows[t]; r++)
        memcpy(at + r * stride, unit.tile[t].byte[r], unit.bytes[t]);
}

/* Rows and columns of the sum, groups of 4 bytes of the summed index. */
static void
want_product(int sum, int left, int right)
{
    want(sum < TILES && left < TILES && right < TILES, "a product of no tile");
    want(sum != left && sum != right && left != right, "a product of one tile twice");
    want(unit.rows[sum] == unit.rows[left] && unit.bytes[sum] == unit.bytes[right] &&
             unit.bytes[left] == 4 * unit.rows[right],
         "tiles of a product do not fit");
}

static uint32_t
group_of(int t, int row, int at)
{
    uint32_t x;
    memcpy(&x, unit.tile[t].byte[row] + 4 * at, sizeof x);
    return x;
}

static float
real(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Denormal operands and results are 0 of their sign. */
static float
flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* a b + c, rounded once. A result counts as denormal that is one when it is rounded to 24 bits:
 * just below 2^-126, where f32 has 23 bits and rounds up. */
static float
fused(float a, float b, float c)
{
    const float result = fmaf(a, b, c);
    const bool edge = fabsf(result) == 0x1p-126f;
    const bool below = edge && fabs((double)a * b + c) < 0x1p-126 - 0x1p-151;
    return below ? copysignf(0, result) : flush(result);
}

static void
halves(uint32_t pair, float *even, float *odd)
{
    *even = flush(real(pair << 16));
    *odd = flush(real(pair & 0xffff0000u));
}

static float
dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int k = 0; k < n; k++)
        sum = fused(a[k], b[k], sum);
    return sum;
}

/* Even and odd members of the pairs are summed apart over the tile, then added to the sum. */
static void
model_bf16(uint8_t sum, uint8_t left, uint8_t right)
{
    want_product(sum, left, right);
    float a[2][ROWS], b[ROWS][2][ROWS]; /* of a row; of column, even and odd */
    const int depth = unit.rows[right], columns = unit.bytes[sum] / 4;
    for (int k = 0; k < depth; k++)
        for (int col = 0; col < columns; col++)
            halves(group_of(right, k, col), &b[col][0][k], &b[col][1][k]);
    for (int r = 0; r < unit.rows[sum]; r++) {
        for (int k = 0; k < depth; k++)
            halves(group_of(left, r, k), &a[0][k], &a[1][k]);
        for (int col = 0; col < columns; col++) {
            float total;
            const float even = dot(a[0], b[col][0], depth), odd = dot(a[1], b[col][1], depth);
            memcpy(&total, unit.tile[sum].byte[r] + 4 * col, sizeof total);
            total = flush(flush(total) + flush(even + odd));
            memcpy(unit.tile[sum].byte[r] + 4 * col, &total, sizeof total);
        }
    }
}

static void
model_bytes(uint8_t sum, uint8_t left, uint8_t right)
{
    want_product(sum, left, right);
    for (int r = 0; r < unit.rows[sum]; r++)
        for (int col = 0; col < unit.bytes[sum] / 4; col++) {
            uint32_t total = group_of(sum, r, col);
            for (int k = 0; k < 4 * unit.rows[right]; k++) {
                const int8_t a = (int8_t)unit.tile[left].byte[r][k];
                const uint8_t b = unit.tile[right].byte[k / 4][4 * col + k % 4];
                total += (uint32_t)(a * b);
            }
            memcpy(unit.tile[sum].byte[r] + 4 * col, &total, sizeof total);
        }
}

/* ISO C has no conversion of a function's address to void *; POSIX does. */
#define MODEL(name) {"matrix_model_" #name, (void *)model_##name}
const ModelFunction matrix_model[] = {
    MODEL(open), MODEL(close), MODEL(zero), MODEL(load), MODEL(store), MODEL(bf16), MODEL(bytes),
};
const int matrix_model_count = COUNT_OF(matrix_model);
