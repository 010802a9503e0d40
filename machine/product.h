/* machine/product.h -- how a GPU multiplies rows by a weight: the rows of machine/products.def. */
#ifndef SSMC_MACHINE_PRODUCT_H
#define SSMC_MACHINE_PRODUCT_H

#include "machine/machine.h"

typedef enum {
    PRODUCT_FMA,
    PRODUCT_MMA,
    PRODUCT_WGMMA,
    PRODUCT_RANGES,
    PRODUCT_STREAM
} ProductMethod;

typedef struct {
    const char *name;
    ProductMethod method;
    int rows, columns, depth, stages;
    int part_rows, part_columns; /* of a thread, of a warp, or of four warps */
    int threads;
} Product;

/* How many rows a product has: at most 64 or one of each sequence; more; its bits must not depend
 * on that; more, or few, which are divided among experts. */
typedef enum {
    PRODUCT_FEW,
    PRODUCT_MANY,
    PRODUCT_ANY,
    PRODUCT_EXPERTS,
    PRODUCT_EXPERTS_FEW
} ProductRows;
enum { PRODUCT_MOST_FEW = 64 };

typedef struct {
    const Product *product, *small; /* small: NULL: there is none */
} ProductChoice;

/* Compute capability that its instructions need, ten times; 0: any. */
int product_capability(const Product *product);
ProductChoice product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t outputs);
const Product *product_named(const char *name); /* NULL: there is none */
const char *product_names(void);                /* all of them, with blanks between */

#endif
