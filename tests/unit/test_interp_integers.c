/* tests/unit/test_interp_integers.c -- the references of quantisation, of packing integers and
 * of products over them, on cases worked out by hand. */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "ir/ref.h"

/* ---- a call ---------------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Node *node;
    RefCall call;
} Ref;

static Ref
ref_new(Op op, int nin, int nout)
{
    Ref r = {.arena = arena_new()};
    r.node = arena_alloc(r.arena, sizeof *r.node);
    *r.node = (Node){.op = op, .nin = nin, .nout = nout};
    r.call = (RefCall){.node = r.node, .scratch = r.arena};
    for (int i = 0; i < nin; i++) /* only its being there is looked at */
        r.node->in[i] = arena_alloc(r.arena, sizeof(Value));
    return r;
}

static void
ref_attr(Ref *r, AttrId id, int64_t n)
{
    attrs_set(r->arena, &r->node->attrs, attr_int(id, n));
}

static RefTensor
tensor(Ref *r, Dtype dtype, int rank, const int64_t *dims, const double *from)
{
    RefTensor t = {.rank = rank, .dtype = dtype, .count = 1};
    for (int i = 0; i < rank; i++) {
        t.dim[i] = dims[i];
        t.count *= dims[i];
    }
    t.at = arena_array(r->arena, (size_t)t.count, sizeof *t.at);
    if (from)
        memcpy(t.at, from, (size_t)t.count * sizeof *t.at);
    return t;
}

#define IN(r, i, dtype, from, ...)                                                                 \
    ((r)->call.in[i] =                                                                             \
         tensor(r, dtype, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__}, from))
#define OUT(r, i, dtype, ...)                                                                      \
    ((r)->call.out[i] =                                                                            \
         tensor(r, dtype, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__}, NULL))

static void
expect_out(Ref *r, int i, const double *want)
{
    const RefTensor *t = &r->call.out[i];
    for (int64_t e = 0; e < t->count; e++)
        cr_expect(fabs(t->at[e] - want[e]) <= 1e-12 * (1 + fabs(want[e])),
                  "%s: result %d, element %lld is %.17g, expected %.17g", op_info[r->node->op].name,
                  i, (long long)e, t->at[e], want[e]);
}

static void
ref_run(Ref *r)
{
    op_info[r->node->op].ref(&r->call);
}

/* ---- quantise -------------------------------------------------------------------------------- */

/* Row 0: s = 2.54 / 127 = 0.02. Row 1 is zeros. Row 2: halves go to the even number. */
Test(interp_integers, quantise_rounds_to_the_nearest_and_ties_to_even)
{
    static const double x[] = {1, -2.54, 0.5, 0.0, 0, 0, 0, 0, 127, 0.5, 1.5, -2.5};
    Ref r = ref_new(OP_quantise, 1, 2);
    IN(&r, 0, DTYPE_f32, x, 3, 4);
    OUT(&r, 0, DTYPE_i8, 3, 4);
    OUT(&r, 1, DTYPE_f32, 3, 1);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){50, -127, 25, 0, 0, 0, 0, 0, 127, 0, 2, -2});
    expect_out(&r, 1, (const double[]){0.02, 0, 1});
    arena_free(r.arena);
}

Test(interp_integers, quantise_of_what_is_no_number_is_none)
{
    static const double x[] = {1, NAN, 3, 1, 2, INFINITY};
    Ref r = ref_new(OP_quantise, 1, 2);
    IN(&r, 0, DTYPE_f32, x, 2, 3);
    OUT(&r, 0, DTYPE_i8, 2, 3);
    OUT(&r, 1, DTYPE_f32, 2, 1);
    ref_run(&r);
    cr_expect(isnan(r.call.out[1].at[0]) && isinf(r.call.out[1].at[1]));
    cr_expect(isnan(r.call.out[0].at[5]), "infinity over infinity");
    arena_free(r.arena);
}

/* Rows 1 and 2 of three, a scale a row. */
Test(interp_integers, quantise_i8_of_some_rows)
{
    static const double w[] = {9, 9, 9, 1.27, -0.3, 0.014, 0, -254, 127};
    Ref r = ref_new(OP_quantise_i8, 1, 2);
    ref_attr(&r, ATTR_first, 1);
    ref_attr(&r, ATTR_rows, 2);
    IN(&r, 0, DTYPE_f32, w, 3, 3);
    OUT(&r, 0, DTYPE_i8, 2, 3);
    OUT(&r, 1, DTYPE_f32, 2, 1);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){127, -30, 1, 0, -127, 64});
    cr_expect_float_eq(r.call.out[1].at[0], 0.01, 1e-12);
    cr_expect_eq(r.call.out[1].at[1], 2);
    arena_free(r.arena);
}

/* Groups of 8, the last of 2. Scales are bf16: 1.001 / 127 = 0.0078819 becomes 0.00787353515625, by
 * which 1.001 would be 127.13: it is 127, and 0.5 is 63.5 of them: 64. A group of zeros stays. */
Test(interp_integers, quantise_i8_in_groups_rounds_its_scales)
{
    static const double w[] = {1.001, 0.5, 0, 0, 0, 0, 0, -1.001, 0, 0, 0, 0, 0, 0, 0, 0, -127, 3};
    Ref r = ref_new(OP_quantise_i8, 1, 2);
    ref_attr(&r, ATTR_group, 8);
    IN(&r, 0, DTYPE_f32, w, 1, 18);
    OUT(&r, 0, DTYPE_i8, 1, 18);
    OUT(&r, 1, DTYPE_bf16, 1, 3);
    ref_run(&r);
    expect_out(&r, 0,
               (const double[]){127, 64, 0, 0, 0, 0, 0, -127, 0, 0, 0, 0, 0, 0, 0, 0, -127, 3});
    expect_out(&r, 1, (const double[]){0x1.02p-7, 0, 1});
    arena_free(r.arena);
}

/* Group 0 from -1 to 2: s = 0.2, as bf16 0x1.9ap-3 = 0.2001953125, m = -1. Group 1 is one number.
 */
Test(interp_integers, quantise_u4_has_a_scale_and_a_minimum)
{
    static const double w[] = {-1, 2, 0, 0.5, -0.9, 1.94, -1, 1, 0.75};
    Ref r = ref_new(OP_quantise_u4, 1, 3);
    ref_attr(&r, ATTR_group, 8);
    IN(&r, 0, DTYPE_f32, w, 1, 9);
    OUT(&r, 0, DTYPE_u4, 1, 9);
    OUT(&r, 1, DTYPE_bf16, 1, 2);
    OUT(&r, 2, DTYPE_bf16, 1, 2);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){0, 15, 5, 7, 0, 15, 0, 10, 0});
    expect_out(&r, 1, (const double[]){0x1.9ap-3, 0});
    expect_out(&r, 2, (const double[]){-1, 0.75});
    arena_free(r.arena);
}

/* ---- pack ------------------------------------------------------------------------------------ */

/* [3,5] in panels of 2: four inputs of a column are neighbours; what is added is 0 + 128. */
Test(interp_integers, pack_of_i8_adds_128)
{
    static const double q[] = {1, 2, 3, 4, 5, 11, 12, 13, 14, 15, -127, -2, -3, -4, -5};
    Ref r = ref_new(OP_pack, 1, 1);
    ref_attr(&r, ATTR_panel, 2);
    IN(&r, 0, DTYPE_i8, q, 3, 5);
    OUT(&r, 0, DTYPE_u8, 2, 2, 2, 4);
    ref_run(&r);
    expect_out(&r, 0,
               (const double[]){129, 130, 131, 132, 139, 140, 141, 142, /* k 0..3 of o 0, 1 */
                                133, 128, 128, 128, 143, 128, 128, 128, /* k 4 */
                                1,   126, 125, 124, 128, 128, 128, 128, /* o 2, and none */
                                123, 128, 128, 128, 128, 128, 128, 128});
    arena_free(r.arena);
}

/* [1,9] in a panel of 1, groups of 8: K goes up to 16. Inputs 0..3 are low halves, 4..7 high ones.
 */
Test(interp_integers, pack_of_u4_puts_two_in_a_byte)
{
    static const double q[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    Ref r = ref_new(OP_pack, 1, 1);
    ref_attr(&r, ATTR_panel, 1);
    ref_attr(&r, ATTR_group, 8);
    IN(&r, 0, DTYPE_u4, q, 1, 9);
    OUT(&r, 0, DTYPE_u4x2, 1, 2, 1, 4);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){0x51, 0x62, 0x73, 0x84, 0x09, 0, 0, 0});
    arena_free(r.arena);
}

/* ---- products -------------------------------------------------------------------------------- */

/* x = 0.5 [2, -3, 1]; y = x . s q + b from element 1 of the bias on:
 * 0.5 (0.25 (2 * 4 - 3 * 5 + 6)) = -0.125, and 0.5 (2 (2 * -1 - 3 * 0 + 127)) = 125. */
static const double one_row[] = {2, -3, 1}, row_scale[] = {0.5};
static const double i8_rows[] = {4, 5, 6, -1, 0, 127}, i8_scales[] = {0.25, 2},
                    bias[] = {9, 10, 20};

Test(interp_integers, linear_i8_by_hand)
{
    Ref r = ref_new(OP_linear_i8, 5, 1);
    ref_attr(&r, ATTR_first, 1);
    IN(&r, 0, DTYPE_i8, one_row, 1, 3);
    IN(&r, 1, DTYPE_f32, row_scale, 1, 1);
    IN(&r, 2, DTYPE_i8, i8_rows, 2, 3);
    IN(&r, 3, DTYPE_f32, i8_scales, 2, 1);
    IN(&r, 4, DTYPE_f32, bias, 3);
    OUT(&r, 0, DTYPE_f32, 1, 2);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){9.875, 145});
    arena_free(r.arena);
}

/* The weight of the test before, packed in a panel of 2. */
Test(interp_integers, linear_i8_reads_packed_weights)
{
    static const double packed[] = {132, 133, 134, 128, 127, 128, 255, 128};
    Ref r = ref_new(OP_linear_i8, 4, 1);
    ref_attr(&r, ATTR_out, 2);
    IN(&r, 0, DTYPE_i8, one_row, 1, 3);
    IN(&r, 1, DTYPE_f32, row_scale, 1, 1);
    IN(&r, 2, DTYPE_u8, packed, 1, 1, 2, 4);
    IN(&r, 3, DTYPE_f32, i8_scales, 1, 1, 2);
    OUT(&r, 0, DTYPE_f32, 1, 2);
    ref_run(&r);
    expect_out(&r, 0, (const double[]){-0.125, 125});
    arena_free(r.arena);
}

/* Two groups of 8 and 1: x = 2 [1 .. 1, -3], q = [0 .. 7], [15], s = 0.5, 3, m = -1, 10:
 * 2 (0.5 * 28 - 8 + -3 (3 * 15 + 10)) = 2 (6 - 165) = -318. */
Test(interp_integers, linear_u4_by_hand)
{
    static const double x[] = {1, 1, 1, 1, 1, 1, 1, 1, -3}, xs[] = {2};
    static const double q[] = {0, 1, 2, 3, 4, 5, 6, 7, 15}, s[] = {0.5, 3}, m[] = {-1, 10};
    static const double packed[] = {0x40, 0x51, 0x62, 0x73, 0x0f, 0, 0, 0};
    for (int form = 0; form < 2; form++) {
        Ref r = ref_new(OP_linear_u4, 5, 1);
        ref_attr(&r, ATTR_group, 8);
        IN(&r, 0, DTYPE_i8, x, 1, 9);
        IN(&r, 1, DTYPE_f32, xs, 1, 1);
        if (form == 0) {
            IN(&r, 2, DTYPE_u4, q, 1, 9);
            IN(&r, 3, DTYPE_bf16, s, 1, 2);
            IN(&r, 4, DTYPE_bf16, m, 1, 2);
        } else {
            ref_attr(&r, ATTR_out, 1);
            IN(&r, 2, DTYPE_u4x2, packed, 1, 2, 1, 4);
            IN(&r, 3, DTYPE_bf16, s, 1, 1, 1, 2);
            IN(&r, 4, DTYPE_bf16, m, 1, 1, 1, 2);
        }
        OUT(&r, 0, DTYPE_f32, 1, 1);
        ref_run(&r);
        expect_out(&r, 0, (const double[]){-318});
        arena_free(r.arena);
    }
}
