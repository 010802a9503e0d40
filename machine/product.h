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
    PRODUCT_WIDE,
    PRODUCT_STREAM
} ProductMethod;

typedef enum { PRODUCT_NO, PRODUCT_COPIES, PRODUCT_BOXES, PRODUCT_FINISH } ProductFeed;

typedef struct {
    const char *name;
    ProductMethod method;
    int rows, columns, depth, stages;
    int part_rows, part_columns; /* of a thread, of a warp, or of four warps */
    int threads;
    ProductFeed feed;
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

/* What a projection of such rows, of x of that type (bf16, or f32 for any other), of at least so
 * many outputs and at most so many inputs (0: any) is multiplied by. */
typedef struct ProductRule {
    ProductRows rows;
    Dtype type;
    int64_t outputs, inputs;
    const Product *product, *small; /* equal: there is one */
} ProductRule;
/* Those of products.def, in their order, and those that a GPU of that capability takes. */
const ProductRule *product_rules(int *count);
/* As many inputs as a projection can have that it is for. */
int64_t product_rule_inputs(const ProductRule *rule);
bool product_rule_fits(const ProductRule *rule, int capability);

typedef struct {
    const ProductRule *rule;
    const Product *product, *small; /* small: NULL: there is none */
    bool measured;                  /* by a rule of the GPU's own */
} ProductChoice;

/* Whether it is tiles whose sums are those of STREAM. */
bool product_has_ranges(const Product *product);
/* Whether it is tiles by wgmma, of which four warps have a part together. */
bool product_of_four_warps(const Product *product);
/* Compute capability that its instructions need, ten times; 0: any. */
int product_capability(const Product *product);
ProductChoice product_for(const Gpu *gpu, ProductRows rows, Dtype x, int64_t inputs,
                          int64_t outputs);
/* Whether tiles have room for a convolution of `taps` taps in their epilogue: for all that it reads
 * beside the rows it makes, which must not be much of a tile. Not where multiply-adds of f32 take
 * the time: rows that are multiplied again would cost more than they save. taps 0: there is none.
 */
bool product_holds_conv(const Product *product, int64_t taps);
/* Among those whose tiles, large and small, have that room. product NULL: there is none. */
ProductChoice product_with_conv(const Gpu *gpu, ProductRows rows, Dtype x, int64_t inputs,
                                int64_t outputs, int64_t taps);
/* Whether four warps beside those that multiply copy for them, while a block makes one tile after
 * the other. */
bool product_feeds(const Product *product);
/* Whether a kernel can have both: they give the same bits, in blocks of as many threads, or of more
 * where the large one feeds. */
bool product_goes_with(const Product *small, const Product *large);
/* A product of every GPU that goes with `small` of STREAM, for rows of any alignment. */
const Product *product_of_ranges(const Product *small);
/* The products that take the place of one without changing a bit: of its method. The next after
 * `last`, NULL: the first; NULL: there is no other. */
const Product *product_alike(const Product *product, const Product *last);
/* Rows of a tile that such a convolution reads beside those it makes. */
static inline int64_t
product_beside(int64_t taps)
{
    return 2 * (taps - 1);
}
const Product *product_named(const char *name); /* NULL: there is none */
const char *product_names(void);                /* all of them, with blanks between */

#endif
