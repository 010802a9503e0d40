/* codegen/ptx/ptx_linear.c -- y[T,O] = x[T,K] W^T + b with what is fused after it, on a GPU: what
 * is multiplied, and by which product of machine/products.def.
 *
 * bf16 by bf16 goes to the tensor cores, all else is multiplied as f32. A kernel whose text says
 * nothing gets the product that passes would choose. */
#include <string.h>

#include "codegen/ptx/tiles.h"

/* cg_linear_finish takes the sum from where it lies: here in a register. */
static Val
sum_itself(Cg *c, const CgLinear *l, const CgSite *site, Val at)
{
    (void)c;
    (void)l;
    (void)site;
    return at;
}

/* l is the first of a PtxLinear. */
static void
bind_ahead(Cg *c, const CgLinear *l)
{
    const PtxAhead *ahead = ((const PtxLinear *)(const void *)l)->ahead;
    for (int i = 0; ahead && i < ahead->count; i++)
        cg_bind(l->k, ahead->value[i],
                cg_get(c, LLVMGetAllocatedType(ahead->number[i]), ahead->number[i]));
}

void
ptx_linear_store(Cg *c, const PtxLinear *p, Val row, Val col, Val sums)
{
    const CgSite site = {.row = row, .col = col, .lanes = cg_lanes_of(sums)};
    cg_linear_finish(c, &p->l, &site, sums);
    if (p->conv && !ptx_conv_of_runs(p))
        ptx_conv_here(c, p->k, p->conv, &site, p->k->bound[p->l.y->id],
                      p->ahead && p->ahead_conv ? &p->ahead->conv : NULL);
}

int
ptx_linear_lanes(const PtxLinear *p)
{
    const int64_t first = node_int(p->k->kernel->anchor, ATTR_first, 0);
    const bool whole = p->l.out % PTX_MOST_LANES == 0 && first % PTX_MOST_LANES == 0;
    return whole && (!p->conv || ptx_conv_sites_whole(p, PTX_MOST_LANES)) ? PTX_MOST_LANES : 1;
}

/* ---- a norm as a factor of rows ----------------------------------------------------------------
 */

Val
ptx_squares(Cg *c, Val sum, const Val pairs[4])
{
    for (int i = 0; i < 4; i++) {
        const Val low = ptx_low(c, pairs[i]), high = ptx_high(c, pairs[i]);
        sum = cg_fma(c, high, high, cg_fma(c, low, low, sum));
    }
    return sum;
}

Val
ptx_squares_fold(Cg *c, Val sum)
{
    enum { LANES = 4 };
    return ptx_warp_fold(c, sum, LANES, cg_fadd);
}

Val
ptx_row_factor(Cg *c, const PtxLinear *p, Val sum)
{
    const Val mean = cg_fdiv(c, sum, cg_f32(c, (double)p->l.depth));
    const double eps = node_num(p->k->kernel->anchor, ATTR_eps, 0);
    return cg_rsqrt(c, cg_fadd(c, mean, cg_f32(c, eps)));
}

/* Methods whose warps read whole rows of x. */
static bool
finds_factors(const PtxLinear *p, Diag *diag)
{
    const Product *product = p->product;
    const bool stream = product->method == PRODUCT_STREAM || product_has_ranges(product);
    if (!p->normed || (stream && p->bf16 && !p->l.e))
        return true;
    return diag_error(diag, p->k->kernel->anchor->loc, "kernel %s: product=%s of %s takes no eps",
                      p->k->kernel->name, product->name, dtype_info[p->x->dtype].name);
}

/* ---- operands -------------------------------------------------------------------------------- */

/* Rows in whole 16s of bytes that begin at multiples of 16 bytes. Weights do by themselves. */
static bool
rows_whole(const CgOperand *o, Dtype unit, int64_t stride, int64_t depth)
{
    const int64_t bytes = dtype_info[unit].bytes;
    return o->dtype == unit && o->value->place.offset % 16 == 0 && stride * bytes % 16 == 0 &&
           depth * bytes % 16 == 0;
}

static ProductRows
rows_of(const CgKernel *k, const Value *y)
{
    const int64_t most = dim_count(y->type.shape.dim[0], k->graph->block, k->graph->rows);
    if (node_experts(k->kernel->anchor) > 0)
        return most <= PRODUCT_MOST_FEW ? PRODUCT_EXPERTS_FEW : PRODUCT_EXPERTS;
    return most <= PRODUCT_MOST_FEW ? PRODUCT_FEW : PRODUCT_MANY;
}

static bool
fits(const PtxLinear *p, const Product *product)
{
    if (product->method == PRODUCT_STREAM)
        return !p->l.e;
    if (p->l.e && (product_has_ranges(product) || product_feeds(product)))
        return false;
    return (product->method != PRODUCT_FMA) == p->bf16;
}

static bool
said(const Cg *c, const PtxLinear *p, AttrId id, const Product **out, Diag *diag)
{
    const Kernel *kernel = p->k->kernel;
    const Attr *attr = attrs_find(&kernel->attrs, id);
    *out = attr ? product_named(attr->word) : NULL;
    if (!attr)
        return true;
    if (!*out)
        return diag_error(diag, kernel->anchor->loc, "kernel %s: %s=%s, expected one of: %s",
                          kernel->name, attr_info[id].name, attr->word, product_names());
    const Gpu *gpu = &c->machine->gpu;
    if (!gpu->model && product_capability(*out) > gpu->capability)
        return diag_error(diag, kernel->anchor->loc, "kernel %s: %s has no %s=%s", kernel->name,
                          gpu->name, attr_info[id].name, attr->word);
    if (!fits(p, *out))
        return diag_error(diag, kernel->anchor->loc, "kernel %s: %s=%s does not multiply %s%s",
                          kernel->name, attr_info[id].name, attr->word,
                          dtype_info[p->x->dtype].name, p->l.e ? " by experts" : "");
    return true;
}

static bool
choose(const Cg *c, PtxLinear *p, Diag *diag)
{
    if (!said(c, p, ATTR_product, &p->product, diag) || !said(c, p, ATTR_small, &p->small, diag))
        return false;
    const SrcLoc loc = p->k->kernel->anchor->loc;
    if (p->small && (p->l.e || !p->product || !product_goes_with(p->small, p->product)))
        return diag_error(diag, loc, "kernel %s: small=%s does not go with product=%s",
                          p->k->kernel->name, p->small->name, p->product ? p->product->name : "");
    if (p->product && product_has_ranges(p->product) && !p->small)
        return diag_error(diag, loc,
                          "kernel %s: product=%s needs a small of STREAM, whose sums it makes",
                          p->k->kernel->name, p->product->name);
    if (!p->product) {
        const ProductChoice choice =
            product_for(&c->machine->gpu, rows_of(p->k, p->l.y), p->bf16 ? DTYPE_bf16 : DTYPE_f32,
                        p->l.depth, p->l.out);
        p->product = choice.product;
        p->small = choice.small;
    }
    return true;
}

/* A convolution's tiles are finished by warps of their own, and no others are, or they are not
 * fed. */
static void
unfeed(PtxLinear *p)
{
    const Product *fed = p->product, *other = NULL;
    const bool right = !p->conv && fed->feed != PRODUCT_FINISH;
    if (!product_feeds(fed) || right || (ptx_fed_finishes(p) && ptx_fed_by_boxes(p)))
        return;
    do
        other = product_alike(fed, other);
    while (other &&
           (product_feeds(other) || other->rows != fed->rows || other->columns < fed->columns));
    if (!other)
        die("no product is as large as %s", fed->name);
    p->product = other;
    if (p->small && !product_goes_with(p->small, other))
        p->small = NULL;
}

/* WIDE copies boxes: where rows have none RANGES makes the same sums, but for the order of inputs,
 * which then is that of RANGES in both of the kernel's products. */
static void
unwiden(PtxLinear *p)
{
    if (p->product->method == PRODUCT_WIDE && !(p->x_whole && p->w_whole))
        p->product = product_of_ranges(p->small);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

/* All but what is code. */
static bool
describe(const Cg *c, CgKernel *k, PtxLinear *p, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    *p = (PtxLinear){.l = cg_linear(k), .k = k};
    p->x = cg_operand(k, p->l.x);
    p->w = cg_operand(k, p->l.w);
    for (int i = 0; i < anchor->nin; i++)
        if (anchor->in[i] && !cg_operand(k, anchor->in[i]))
            return diag_error(diag, anchor->loc, "%s reads `%s`, which its own kernel makes",
                              op_info[anchor->op].name, anchor->in[i]->name);
    const Type matrix = node_matrix(anchor, p->l.w);
    if (matrix.shape.rank != 2)
        return diag_error(diag, anchor->loc,
                          "%s reads `%s`, which is packed: a GPU reads weights as they lie",
                          op_info[anchor->op].name, p->l.w->name);
    p->l.finish = sum_itself;
    p->l.known = bind_ahead;
    p->bf16 = p->x->dtype == DTYPE_bf16 && p->w->dtype == DTYPE_bf16;
    const Dtype unit = p->bf16 ? DTYPE_bf16 : DTYPE_f32;
    p->x_whole = rows_whole(p->x, unit, p->x->stride, p->l.depth);
    p->w_whole = rows_whole(p->w, unit, p->l.depth, p->l.depth);
    if (!choose(c, p, diag))
        return false;
    p->conv = kernel_epilogue(k->graph, k->kernel);
    p->normed = attrs_find(&anchor->attrs, ATTR_eps);
    if (p->conv && !ptx_conv_fits(p, diag))
        return false;
    unfeed(p);
    unwiden(p);
    return finds_factors(p, diag);
}

int
ptx_linear_maps(const Cg *c, CgKernel *k)
{
    PtxLinear p;
    Diag *unsaid = diag_new(); /* ptx_linear says it */
    const bool known = describe(c, k, &p, unsaid);
    const bool wide = known && p.product->method == PRODUCT_WIDE;
    const int maps = wide ? PTX_WIDE_MAPS : known ? ptx_fed_maps(&p) : 0;
    diag_free(unsaid);
    return maps;
}

bool
ptx_linear(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    PtxLinear p;
    if (!describe(c, k, &p, diag))
        return false;
    p.rows = cg_rows(c, k, p.l.y);
    p.weight =
        cg_at(c, p.w->base, p.w->dtype, cg_i64(c, node_int(anchor, ATTR_first, 0) * p.l.depth));
    const Product *few = p.small ? p.small : p.product;
    p.sets = few->threads / GPU_WARP;
    p.share = ptx_parts(ptx_parts(p.l.depth, PTX_STREAM_STEP), p.sets);
    const bool stream = p.product->method == PRODUCT_STREAM || product_has_ranges(p.product);
    if (stream && !p.l.e) {
        ptx_linear_stream(c, &p);
        return true;
    }
    ptx_wait(c, k);
    if (p.l.e)
        ptx_linear_experts(c, &p);
    else
        ptx_linear_tiles(c, &p);
    return true;
}
