/* tests/unit/test_matrix_model.c -- the C functions that stand in for the matrix unit's
 * instructions, by cases worked out from the pseudocode of Intel's manual (SDM volume 2, LDTILECFG,
 * TILELOADD, TDPBF16PS, TDPBSUD). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "codegen/matrix_model.h"
#include "ir/util.h"

enum { SUM, LEFT, RIGHT };

/* ISO C converts no void * to a function; memory holds both alike. */
#define FIND(name, type) (*(type **)&(void *){find("matrix_model_" name)})
typedef void Open(const uint8_t *configuration);
typedef void Close(void);
typedef void Zero(uint8_t tile);
typedef void Load(uint8_t tile, const void *at, int64_t stride);
typedef void Store(uint8_t tile, void *at, int64_t stride);
typedef void Product(uint8_t sum, uint8_t left, uint8_t right);

static void *
find(const char *name)
{
    for (int i = 0; i < matrix_model_count; i++)
        if (strcmp(matrix_model[i].name, name) == 0)
            return matrix_model[i].function;
    cr_assert_fail("there is no %s", name);
    return NULL;
}

/* Tiles SUM, LEFT and RIGHT of a product of rows x (groups of 4 bytes) by columns. */
static void
configure(int rows, int columns, int groups)
{
    uint8_t bytes[64] = {1};
    const int width[] = {4 * columns, 4 * groups, 4 * columns}, height[] = {rows, rows, groups};
    for (int i = 0; i < 3; i++) {
        bytes[16 + 2 * i] = (uint8_t)width[i];
        bytes[48 + i] = (uint8_t)height[i];
    }
    FIND("open", Open)(bytes);
}

static uint16_t
half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    cr_assert_eq(bits & 0xffff, 0u, "%a is no bf16", (double)x);
    return (uint16_t)(bits >> 16);
}

/* One sum: start + left right over `pairs` pairs. */
static float
dot(float start, const float *left, const float *right, int pairs)
{
    uint16_t a[32] = {0}, b[16][2] = {{0}};
    float sum = start;
    for (int k = 0; k < pairs; k++) {
        for (int i = 0; i < 2; i++) {
            a[2 * k + i] = half(left[2 * k + i]);
            b[k][i] = half(right[2 * k + i]);
        }
    }
    configure(1, 1, pairs);
    FIND("load", Load)(SUM, &sum, 4);
    FIND("load", Load)(LEFT, a, sizeof a);
    FIND("load", Load)(RIGHT, b, sizeof b[0]);
    FIND("bf16", Product)(SUM, LEFT, RIGHT);
    FIND("store", Store)(SUM, &sum, 4);
    FIND("close", Close)();
    return sum;
}

/* 2^24 + 1 is no f32: which numbers are added first shows. */
Test(matrix_model, even_and_odd_members_are_summed_apart)
{
    static const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const float big = 0x1p24f;
    /* even: 2^24 + 1 = 2^24; odd: 1 + -2^24: together 1 - 2^24 + 2^24 = 1. In pairs: 2^24 + 1 =
     * 2^24, then 1 - 2^24 = 1 - 2^24: 1 as well; one after the other 2^24 + 1 + 1 - 2^24 = 0. */
    cr_expect_eq(dot(0, (const float[]){big, 1, 1, -big}, ones, 2), 1);
    /* even: 1 + 1 = 2, odd: 2^24: 2^24 + 2. One after the other the two ones are lost. */
    cr_expect_eq(dot(0, (const float[]){1, big, 1, 0}, ones, 2), big + 2);
    cr_expect_eq(dot(0, (const float[]){big, 1, 0, 1}, ones, 2), big + 2);
    /* The sum comes last: 1 + (2^24 + 1) would be 2^24 + 2, but 2^24 + 1 is rounded first. */
    cr_expect_eq(dot(1, (const float[]){big, 1, 0, 0}, ones, 2), big);
    cr_expect_eq(dot(-big, (const float[]){big, 1, 0, 1}, ones, 2), 2);
    /* Of one pair member they follow each other from k = 0 on. */
    cr_expect_eq(dot(0, (const float[]){big, 0, 1, 0, 1, 0, -big, 0}, ones, 4), 0);
    cr_expect_eq(dot(0, (const float[]){1, 0, 1, 0, big, 0, -big, 0}, ones, 4), 2);
}

/* A product of two bf16 has 16 bits; neither it nor its range is cut before the sum is rounded. */
Test(matrix_model, products_are_rounded_once_with_their_sum)
{
    const float a = 1 + 0x1p-7f, huge = 0x1p127f, least = 0x1p-126f;
    const float square = 1 + 0x1p-6f + 0x1p-14f; /* of a */
    cr_expect_eq(dot(0, (const float[]){a, 0}, (const float[]){a, 0}, 1), square);
    /* Steps of f32 from 2^9 on are 2^-14, from 2^10 on 2^-13: half a step is a tie, to even. */
    cr_expect_eq(dot(0, (const float[]){0x1p9f, 0, a, 0}, (const float[]){1, 0, a, 0}, 2),
                 0x1p9f + 1 + 0x1p-6f + 0x1p-14f);
    cr_expect_eq(dot(0, (const float[]){0x1p10f, 0, a, 0}, (const float[]){1, 0, a, 0}, 2),
                 0x1p10f + 1 + 0x1p-6f);
    cr_expect_eq(dot(0, (const float[]){-huge, 0, huge, 0}, (const float[]){1, 0, 2, 0}, 2), huge,
                 "2^128 is no f32, but 2^128 - 2^127 is one");
    cr_expect_eq(dot(0, (const float[]){least, 0, least, 0}, (const float[]){1, 0, 0.5f, 0}, 2),
                 1.5f * least,
                 "half of the least is no normal number, but one and a half of it is");
}

Test(matrix_model, denormals_are_zero)
{
    const float least = 0x1p-126f;
    cr_expect_eq(dot(0, (const float[]){least, 0}, (const float[]){1, 0}, 1), least);
    cr_expect_eq(dot(0, (const float[]){least / 2, 0}, (const float[]){0x1p20f, 0}, 1), 0,
                 "an operand");
    cr_expect_eq(dot(0, (const float[]){1, 0}, (const float[]){least / 4, 0}, 1), 0, "the other");
    cr_expect_eq(dot(least / 2, (const float[]){0, 0}, (const float[]){1, 0}, 1), 0, "the sum");
    cr_expect_eq(dot(0, (const float[]){least, 0}, (const float[]){0.5f, 0}, 1), 0, "a result");
    cr_expect_eq(dot(least, (const float[]){-least, 0}, (const float[]){1.5f, 0}, 1), 0,
                 "a result of the last sum");
    /* Between even and odd sums no denormal is left either: 1.5 - 1 of the least. */
    cr_expect_eq(dot(0, (const float[]){least, least}, (const float[]){1.5f, -1}, 1), 0);
    /* A negative one is -0, which 0 hides and -0 keeps. */
    cr_expect_not(signbit(dot(0, (const float[]){-least, 0}, (const float[]){0.5f, 0}, 1)));
    cr_expect(signbit(dot(-0.0f, (const float[]){-least, -least}, (const float[]){0.5f, 0.5f}, 1)));
    /* 2^-126 - 2^-150 has 24 bits, and is less than the least: that f32 cannot hold it there, and
     * would round it up, does not matter. */
    cr_expect_eq(
        dot(0, (const float[]){least, 0, -0x1p-75f, 0}, (const float[]){1, 0, 0x1p-75f, 0}, 2), 0);
    /* Half as much taken away rounds up to it, in 24 bits and in 23. */
    cr_expect_eq(
        dot(0, (const float[]){least, 0, -0x1p-76f, 0}, (const float[]){1, 0, 0x1p-75f, 0}, 2),
        least);
}

Test(matrix_model, numbers_that_are_none)
{
    const float none[] = {NAN, 0}, much[] = {INFINITY, 0}, one[] = {1, 0}, zero[] = {0, 0};
    cr_expect(isnan(dot(0, none, one, 1)));
    cr_expect(isnan(dot(0, much, zero, 1)));
    cr_expect_eq(dot(0, much, one, 1), INFINITY);
    cr_expect(isnan(dot(-INFINITY, much, one, 1)));
    const float huge[] = {0x1p127f, 0};
    cr_expect_eq(dot(0, huge, huge, 1), INFINITY);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static int32_t
dot_bytes(int32_t start, const int8_t *left, const uint8_t *right, int count)
{
    int32_t sum = start;
    configure(1, 1, count / 4);
    FIND("load", Load)(SUM, &sum, 4);
    FIND("load", Load)(LEFT, left, 64);
    FIND("load", Load)(RIGHT, right, 4);
    FIND("bytes", Product)(SUM, LEFT, RIGHT);
    FIND("store", Store)(SUM, &sum, 4);
    return sum;
}

Test(matrix_model, left_bytes_have_signs_and_right_ones_none)
{
    cr_expect_eq(dot_bytes(5, (const int8_t[]){1, 2, 3, 4}, (const uint8_t[]){10, 20, 30, 40}, 4),
                 5 + 10 + 40 + 90 + 160);
    cr_expect_eq(dot_bytes(0, (const int8_t[]){-1, 0, 0, 0}, (const uint8_t[]){255, 1, 1, 1}, 4),
                 -255);
    cr_expect_eq(dot_bytes(0, (const int8_t[]){-128, -128, -128, -128},
                           (const uint8_t[]){255, 255, 255, 255}, 4),
                 -4 * 128 * 255, "no sum of pairs is cut to 16 bits");
    cr_expect_eq(dot_bytes(0, (const int8_t[]){127, 127, 127, 127, 127, 127, 127, 127},
                           (const uint8_t[]){255, 255, 255, 255, 255, 255, 255, 255}, 8),
                 8 * 127 * 255);
    cr_expect_eq(
        dot_bytes(INT32_MAX, (const int8_t[]){1, 0, 0, 0}, (const uint8_t[]){1, 0, 0, 0}, 4),
        INT32_MIN, "sums go round");
}

/* ---- tiles of other shapes ------------------------------------------------------------------ */

/* rows x columns sums over `groups` groups of bytes, against three loops. */
static void
expect_shape(int rows, int columns, int groups)
{
    int8_t left[16][64];
    uint8_t right[16][64];
    int32_t sum[16][16], want[16][16];
    for (int r = 0; r < 16; r++) {
        for (int i = 0; i < 64; i++) {
            left[r][i] = (int8_t)(37 * r + 11 * i - 90);
            right[r][i] = (uint8_t)(91 * r + 7 * i + 3);
        }
        for (int c = 0; c < 16; c++)
            want[r][c] = sum[r][c] = 1000 * r + c;
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            for (int k = 0; k < 4 * groups; k++)
                want[r][c] += left[r][k] * right[k / 4][4 * c + k % 4];
    configure(rows, columns, groups);
    FIND("load", Load)(SUM, sum, sizeof sum[0]);
    FIND("load", Load)(LEFT, left, sizeof left[0]);
    FIND("load", Load)(RIGHT, right, sizeof right[0]);
    FIND("bytes", Product)(SUM, LEFT, RIGHT);
    FIND("store", Store)(SUM, sum, sizeof sum[0]);
    cr_expect_arr_eq(sum, want, sizeof sum, "%d x %d over %d", rows, columns, groups);
}

/* What is outside of a tile is neither read into the sum nor written. */
Test(matrix_model, tiles_of_any_shape)
{
    expect_shape(16, 16, 16);
    expect_shape(16, 16, 8);
    expect_shape(1, 1, 1);
    expect_shape(3, 16, 16);
    expect_shape(16, 5, 2);
    expect_shape(7, 9, 11);
}

Test(matrix_model, a_tile_is_zero_when_it_is_cleared_or_configured)
{
    uint32_t ones[16][16], got[16][16] = {{0}}, none[16][16] = {{0}};
    memset(ones, 0xff, sizeof ones);
    configure(16, 16, 16);
    FIND("load", Load)(SUM, ones, sizeof ones[0]);
    FIND("zero", Zero)(SUM);
    FIND("store", Store)(SUM, got, sizeof got[0]);
    cr_expect_arr_eq(got, none, sizeof got);
    FIND("load", Load)(SUM, ones, sizeof ones[0]);
    configure(16, 16, 16);
    memset(got, 0xff, sizeof got);
    FIND("store", Store)(SUM, got, sizeof got[0]);
    cr_expect_arr_eq(got, none, sizeof got);
}
