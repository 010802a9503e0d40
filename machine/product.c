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

static const struct {
    ProductRows rows;
    Dtype type;
    int64_t outputs;
    int product, small;
} choices[] = {
#define PRODUCT(id, method, rows, columns, depth, stages, a, b, threads)
#define PRODUCT_FOR(rows, type, outputs, product, small)                                           \
    {PRODUCT_##rows, DTYPE_##type, outputs, ID_##product, ID_##small},
#include "machine/products.def"
};

int
product_capability(const Product *product)
{
    return product->method == PRODUCT_WGMMA ? 90 : 0;
}

ProductChoice
product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t outputs)
{
    const Dtype type = x == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        if (choices[i].rows != rows || choices[i].type != type || outputs < choices[i].outputs)
            continue;
        if (product_capability(&products[choices[i].product]) > gpu->capability)
            continue;
        const bool two = choices[i].small != choices[i].product;
        return (ProductChoice){.product = &products[choices[i].product],
                               .small = two ? &products[choices[i].small] : NULL};
    }
    die("product_for: no row of products.def fits");
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
