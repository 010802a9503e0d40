/* machine/product.c -- the table of products, and which of them a projection gets. */
#include "machine/product.h"

#include <string.h>

enum {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads, feed) ID_##id,
#define PRODUCT_FOR(rows, type, outputs, inputs, product, small)
#include "machine/products.def"
    PRODUCTS
};

static const Product products[PRODUCTS] = {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads, feed)                     \
    [ID_##id] = {#id, PRODUCT_##method, rows,          columns, depth, stages, a,                  \
                 b,   threads,          PRODUCT_##feed},
#define PRODUCT_FOR(rows, type, outputs, inputs, product, small)
#include "machine/products.def"
};

static const ProductRule rules[] = {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads, feed)
#define PRODUCT_FOR(rows, type, outputs, inputs, product, small)                                   \
    {PRODUCT_##rows, DTYPE_##type, outputs, inputs, &products[ID_##product], &products[ID_##small]},
#include "machine/products.def"
};

const ProductRule *
product_rules(int *count)
{
    *count = (int)COUNT_OF(rules);
    return rules;
}

bool
product_has_ranges(const Product *product)
{
    return product->method == PRODUCT_RANGES || product->method == PRODUCT_SPLIT ||
           product->method == PRODUCT_WIDE;
}

bool
product_of_four_warps(const Product *product)
{
    return product->method == PRODUCT_WGMMA || product->method == PRODUCT_WIDE;
}

int
product_capability(const Product *product)
{
    return product_of_four_warps(product) || product->method == PRODUCT_SPLIT ? 90 : 0;
}

int64_t
product_rule_inputs(const ProductRule *rule)
{
    return rule->inputs ? rule->inputs : INT64_MAX;
}

bool
product_rule_fits(const ProductRule *rule, int capability)
{
    return product_capability(rule->product) <= capability;
}

bool
product_feeds(const Product *p)
{
    return p->feed != PRODUCT_NO;
}

bool
product_holds_conv(const Product *product, int64_t taps)
{
    enum { SHARE = 8 };
    const bool tiles = product->method == PRODUCT_MMA || product->method == PRODUCT_WGMMA;
    const bool room = product->feed == PRODUCT_NO || product->feed == PRODUCT_FINISH;
    return taps == 0 || (tiles && room && product_beside(taps) <= product->rows / SHARE);
}

/* NULL: none of them. */
static const ProductRule *
rule_for(const ProductRule *list, int count, const Gpu *gpu, const ProductRule *wanted,
         int64_t taps)
{
    for (int i = 0; i < count; i++) {
        const ProductRule *r = &list[i];
        if (r->rows == wanted->rows && r->type == wanted->type && wanted->outputs >= r->outputs &&
            wanted->inputs <= product_rule_inputs(r) && product_rule_fits(r, gpu->capability) &&
            product_holds_conv(r->product, taps) && product_holds_conv(r->small, taps))
            return r;
    }
    return NULL;
}

ProductChoice
product_with_conv(const Gpu *gpu, ProductRows rows, Dtype x, int64_t inputs, int64_t outputs,
                  int64_t taps)
{
    const Dtype type = x == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32;
    const ProductRule wanted = {.rows = rows, .type = type, .outputs = outputs, .inputs = inputs};
    const ProductRule *measured = rule_for(gpu->measured, gpu->nmeasured, gpu, &wanted, taps);
    const ProductRule *r =
        measured ? measured : rule_for(rules, (int)COUNT_OF(rules), gpu, &wanted, taps);
    if (!r)
        return (ProductChoice){0};
    return (ProductChoice){.rule = r,
                           .product = r->product,
                           .small = r->small != r->product ? r->small : NULL,
                           .measured = measured != NULL};
}

ProductChoice
product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t inputs, int64_t outputs)
{
    const ProductChoice choice = product_with_conv(gpu, rows, x, inputs, outputs, 0);
    if (!choice.product)
        die("product_for: no row of products.def fits");
    return choice;
}

/* A block of a cluster for each range, which stores as many rows as the others. */
static bool
splits(const Product *small, const Product *large)
{
    const int warps = small->threads / GPU_WARP;
    return warps <= GPU_MOST_CLUSTER && large->rows % warps == 0;
}

/* Tiles of one method, the large one of small ones unless its blocks make many; or STREAM and tiles
 * of its sums. */
bool
product_goes_with(const Product *small, const Product *large)
{
    const bool few = small->method == PRODUCT_STREAM, many = product_has_ranges(large);
    if (few || many)
        return few && many && small->threads == large->threads && large->rows % small->rows == 0 &&
               (large->method != PRODUCT_SPLIT || splits(small, large));
    if (small->method != large->method || product_feeds(small))
        return false;
    if (product_feeds(large))
        return small->threads <= large->threads - GPU_WARPGROUP;
    return small->threads == large->threads && large->rows % small->rows == 0 &&
           large->columns % small->columns == 0;
}

const Product *
product_of_ranges(const Product *small)
{
    for (int i = 0; i < PRODUCTS; i++)
        if (products[i].method == PRODUCT_RANGES && product_goes_with(small, &products[i]))
            return &products[i];
    die("no product of ranges goes with %s", small->name);
}

const Product *
product_alike(const Product *product, const Product *last)
{
    for (int i = last ? (int)(last - products) + 1 : 0; i < PRODUCTS; i++)
        if (products[i].method == product->method)
            return &products[i];
    return NULL;
}

const Product *
product_named(const char *name)
{
    for (int i = 0; i < PRODUCTS; i++)
        if (strcmp(products[i].name, name) == 0)
            return &products[i];
    return NULL;
}

const char *
product_names(void)
{
    return ""
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads, feed) " " #id
#define PRODUCT_FOR(rows, type, outputs, inputs, product, small)
#include "machine/products.def"
           + 1;
}
