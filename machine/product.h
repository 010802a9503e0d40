/* machine/product.h -- how a GPU multiplies rows by a weight: the rows of machine/products.def. */
#ifndef SSMC_MACHINE_PRODUCT_H
#define SSMC_MACHINE_PRODUCT_H

#include "machine/machine.h"

typedef enum {
    PRODUCT_FMA,
    PRODUCT_MMA,
    PRODUCT_WGMMA,
    PRODUCT_RANGES,
    PRODUCT_SPLIT,
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

/* What a projection of such rows, of x of that type (bf16, or f32 for any other) and of at least so
 * many outputs is multiplied by. */
typedef struct ProductRule {
    ProductRows rows;
    Dtype type;
    int64_t outputs;
    const Product *product, *small; /* equal: there is one */
} ProductRule;
/* Those of products.def, in their order, and those that a GPU of that capability takes. */
const ProductRule *product_rules(int *count);
bool product_rule_fits(const ProductRule *rule, int capability);

typedef struct {
    const Product *product, *small; /* small: NULL: there is none */
    bool measured;                  /* by a rule of the GPU's own */
} ProductChoice;

/* Whether it is tiles whose sums are those of STREAM. */
bool product_has_ranges(const Product *product);
/* Compute capability that its instructions need, ten times; 0: any. */
int product_capability(const Product *product);
ProductChoice product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t outputs);
/* The products that take the place of one without changing a bit: of its method. The next after
 * `last`, NULL: the first; NULL: there is no other. */
const Product *product_alike(const Product *product, const Product *last);
const Product *product_named(const char *name); /* NULL: there is none */
const char *product_names(void);                /* all of them, with blanks between */

#endif
