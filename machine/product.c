/* machine/product.c -- the table of products, and which of them a projection gets. */
#include "machine/product.h"

#include <string.h>

enum {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads) ID_##id,
#define PRODUCT_FOR(rows, type, outputs, product, small)
#include "machine/products.def"
    PRODUCTS
};

static const Product products[PRODUCTS] = {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads)                           \
    [ID_##id] = {#id, PRODUCT_##method, rows, columns, depth, stages, a, b, threads},
#define PRODUCT_FOR(rows, type, outputs, product, small)
#include "machine/products.def"
};

static const ProductRule rules[] = {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads)
#define PRODUCT_FOR(rows, type, outputs, product, small)                                           \
    {PRODUCT_##rows, DTYPE_##type, outputs, &products[ID_##product], &products[ID_##small]},
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
    return product->method == PRODUCT_RANGES || product->method == PRODUCT_SPLIT;
}

int
product_capability(const Product *product)
{
    return product->method == PRODUCT_WGMMA || product->method == PRODUCT_SPLIT ? 90 : 0;
}

bool
product_rule_fits(const ProductRule *rule, int capability)
{
    return product_capability(rule->product) <= capability;
}

/* NULL: none of them. */
static const ProductRule *
rule_for(const ProductRule *list, int count, const Gpu *gpu, const ProductRule *wanted)
{
    for (int i = 0; i < count; i++) {
        const ProductRule *r = &list[i];
        if (r->rows == wanted->rows && r->type == wanted->type && wanted->outputs >= r->outputs &&
            product_rule_fits(r, gpu->capability))
            return r;
    }
    return NULL;
}

ProductChoice
product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t outputs)
{
    const Dtype type = x == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32;
    const ProductRule wanted = {.rows = rows, .type = type, .outputs = outputs};
    const ProductRule *measured = rule_for(gpu->measured, gpu->nmeasured, gpu, &wanted);
    const ProductRule *r =
        measured ? measured : rule_for(rules, (int)COUNT_OF(rules), gpu, &wanted);
    if (!r)
        die("product_for: no row of products.def fits");
    return (ProductChoice){.product = r->product,
                           .small = r->small != r->product ? r->small : NULL,
                           .measured = measured != NULL};
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
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads) " " #id
#define PRODUCT_FOR(rows, type, outputs, product, small)
#include "machine/products.def"
           + 1;
}
