/* passes/cost_prefill.c -- what a prefill takes: the kernels of a graph, one after the other.
 *
 * A projection takes as long as its multiply-adds, and on the matrix unit what brings operands
 * there and results away, or as the reading of its weight from memory, whichever is longer; an SSD
 * what cost_ssd says; a convolution its taps; attention its products and weights over all tokens
 * before; any other kernel what goes in and out of it, and the exponentials of its states. */
#include <math.h>
#include <string.h>

#include "passes/cost.h"
#include "passes/internal.h"

typedef struct {
    const Machine *m;
    int64_t rows, threads;
    int64_t past; /* tokens of the sequence before the pass */
} Pass;

static double
share(const Pass *p, double of)
{
    return ceil(of / (double)p->threads);
}

/* ---- projections ------------------------------------------------------------------------- */

/* Products that one vector of a packed weight does, of an f32 vector's lanes. */
static const struct {
    Dtype dtype;
    CostStep step;
    int products;
} linear_kinds[] = {
    {DTYPE_f32,  COST_linear_f32,  1},
    {DTYPE_f16,  COST_linear_f16,  1},
    {DTYPE_bf16, COST_linear_bf16, 2},
    {DTYPE_u8,   COST_linear_u8,   4},
    {DTYPE_u4x2, COST_linear_u4x2, 4},
};

static CostStep
linear_step(Dtype weight, bool blas, int *products)
{
    for (size_t i = 0; i < COUNT_OF(linear_kinds); i++) {
        *products = linear_kinds[i].products;
        if (linear_kinds[i].dtype == weight)
            return blas ? COST_linear_blas : linear_kinds[i].step;
    }
    *products = 1;
    return COST_linear_f32;
}

/* ---- projections by themselves ------------------------------------------------------------- */

/* Of a pass of so many rows. */
static double
cost_linear_matrix(const Machine *m, const CostLinear *l)
{
    enum { ROWS = 512, COLUMNS = 32 };
    const CostMatrix all = {.weight = l->weight,
                            .inputs = l->inputs,
                            .group = l->group,
                            .triples = l->triples,
                            .rows = ROWS,
                            .panels = (double)l->columns / COLUMNS};
    double count[COST_STEPS] = {0}, ns = 0;
    cost_count_matrix(m, &all, count);
    for (int s = 0; s < COST_STEPS; s++)
        ns += count[s] * m->costs.step[s];
    return ns / ROWS / (l->threads > 0 ? l->threads : 1) * 1e-9;
}

double
cost_linear(const Machine *machine, const CostLinear *l)
{
    if (l->matrix)
        return cost_linear_matrix(machine, l);
    int products = 1;
    const double step = machine->costs.step[linear_step(l->weight, l->blas, &products)];
    const double vectors = (double)l->inputs * (double)l->columns / (double)machine_lanes(machine);
    return step * vectors / products / (l->threads > 0 ? l->threads : 1) * 1e-9;
}

/* Of the thread that has most, as emitted code divides them. */
typedef struct {
    double panels;
    int64_t rows;
} LinearShare;

static LinearShare
grid_share(const Pass *p, int64_t panels, int64_t tile)
{
    const int64_t tiles = (p->rows + tile - 1) / tile,
                  groups = tile_grid(panels, tiles, p->threads);
    const int64_t members = p->threads / groups, rows = (tiles + groups - 1) / groups * tile;
    return (LinearShare){(double)((panels + members - 1) / members),
                         rows < p->rows ? rows : p->rows};
}

static LinearShare
linear_share(const Pass *p, const Kernel *k, double panels)
{
    const Attr *part = attrs_find(&k->attrs, ATTR_part), *tile = attrs_find(&k->attrs, ATTR_tile);
    const char *by = part ? part->word : "cols";
    if (strcmp(by, "grid") == 0)
        return grid_share(p, (int64_t)panels, tile ? tile->i : 1);
    if (strcmp(by, "rows") == 0)
        return (LinearShare){panels, (p->rows + p->threads - 1) / p->threads};
    return (LinearShare){share(p, panels), p->rows};
}

/* Rows go in blocks of which half of the second-level cache holds x; each block walks the panels of
 * the thread. vectors: of all panels. */
static double
stream_vectors(const Machine *m, const LinearShare *s, const Node *n, double vectors, double panels)
{
    const Dtype w = node_weight(n)->type.dtype;
    const bool pairs = w == DTYPE_bf16 && !node_in_triples(n);
    const int element = !dtype_info[w].is_float ? 1 : pairs ? 2 : 4; /* of staged x */
    const double row = (double)type_width(&node_operand(n, 'x')->type) * element;
    const double most = fmax((double)m->l2_bytes / 2 / row, 1);
    return ceil((double)s->rows / most) * s->panels / panels * vectors;
}

/* Where rows have experts: those that have any, each with as many rows. */
typedef struct {
    double active; /* experts; 1 where there are none */
    int64_t rows;
} ExpertRows;

static ExpertRows
expert_rows(const Pass *p, const Node *n)
{
    const int64_t rows = p->rows * type_choices(&n->out[0]->type), experts = node_experts(n);
    if (!experts)
        return (ExpertRows){1, rows};
    const int64_t active = rows < experts ? rows : experts;
    return (ExpertRows){(double)active, (rows + active - 1) / active};
}

static void
count_linear(const Pass *p, const Node *n, const Kernel *k, double count[COST_STEPS])
{
    const ExpertRows e = expert_rows(p, n);
    const Type matrix = node_matrix(n, node_weight(n)), *w = &matrix;
    const double lanes = (double)machine_lanes(p->m);
    const double inputs = (double)type_width(&node_operand(n, 'x')->type);
    const double width = node_is_packed(n) ? (double)w->shape.dim[2].n : lanes;
    const double panels = e.active * ceil((double)type_width(&n->out[0]->type) / width);
    int64_t elements = 0;
    const bool blas = strcmp(node_word(n, ATTR_matmul, ""), "blas") == 0;
    int products = 1;
    const CostStep step = linear_step(w->dtype, blas, &products);
    const LinearShare s =
        node_experts(n) ? (LinearShare){share(p, panels), e.rows} : linear_share(p, k, panels);
    if (kernel_on_unit(k)) {
        const Dtype x = node_operand(n, 'x')->type.dtype;
        const bool whole_steps =
            (int64_t)inputs * dtype_info[x].bytes % p->m->matrix.row_bytes == 0;
        const CostMatrix l = {.weight = w->dtype,
                              .inputs = (int64_t)inputs,
                              .group = node_int(n, ATTR_group, 0),
                              .triples = node_in_triples(n),
                              .in_place = !node_in_triples(n) && x == DTYPE_bf16 && whole_steps,
                              .rows = s.rows,
                              .panels = s.panels};
        cost_count_matrix(p->m, &l, count);
    } else {
        count[step] += s.panels * (double)s.rows * width / lanes * inputs / products;
    }
    if (!type_count(w, 0, 0, &elements))
        return;
    const double vectors =
        e.active * (double)elements * dtype_info[w->dtype].bytes / p->m->vector_bytes;
    count[COST_read] += share(p, vectors);
    count[COST_stream] += stream_vectors(p->m, &s, n, vectors, panels);
}

/* ---- other kernels ----------------------------------------------------------------------- */

static double
value_vectors(const Pass *p, const Value *v)
{
    int64_t elements = 0;
    const bool table = v->is_param || v->kind == VALUE_STATE;
    if (v->kind == VALUE_NUMBER || table || !type_count(&v->type, p->rows, p->rows, &elements))
        return 0;
    return (double)elements * dtype_info[v->type.dtype].bytes / p->m->vector_bytes;
}

/* Vectors that enter the kernel at this node, and that leave it. */
static double
node_vectors(const Pass *p, const Node *n)
{
    double vectors = 0;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !(n->in[i]->def && n->in[i]->def->kernel == n->kernel))
            vectors += value_vectors(p, n->in[i]);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]->place.space != SPACE_NONE)
            vectors += value_vectors(p, n->out[i]);
    return vectors;
}

/* Vectors of the thread that has most, where threads divide the columns of a result and a row has
 * so much `work`. */
static double
count_columns(const Pass *p, const Node *n, double work)
{
    const double columns = (double)type_width(&n->out[0]->type);
    return share(p, columns / (double)machine_lanes(p->m)) * work / columns * (double)p->rows;
}

static void
count_attention(const Pass *p, const Node *n, const Kernel *k, double count[COST_STEPS])
{
    const Attr *dot = attrs_find(&k->attrs, ATTR_dot);
    const CostAttention z = {.heads = node_int(n, ATTR_heads, 1),
                             .groups = node_int(n, ATTR_groups, 1),
                             .head_dim = node_int(n, ATTR_head_dim, 1),
                             .value_dim = node_value_dim(n),
                             .window = node_int(n, ATTR_window, 0),
                             .bf16 = cost_kernel_dtype(k) == DTYPE_bf16,
                             .widened = dot && strcmp(dot->word, "f32") == 0,
                             .unit = kernel_on_unit(k),
                             .single = n->op == OP_attention_sums,
                             .past = p->past,
                             .rows = p->rows,
                             .threads = (double)p->threads};
    cost_count_attention(p->m, &z, count);
}

/* The anchor's own work; false: it has none but what goes in and out. */
static bool
count_anchor(const Pass *p, const Graph *g, const Kernel *kernel, double count[COST_STEPS])
{
    const Node *anchor = kernel->anchor;
    if (!anchor)
        return false;
    const OpWork work = op_info[anchor->op].work(anchor, g->block);
    const Node *after = node_weight(anchor) ? kernel_epilogue(g, kernel) : NULL;
    if (after)
        count[COST_conv] = count_columns(p, after, op_info[after->op].work(after, g->block).macs);
    if (node_weight(anchor))
        count_linear(p, anchor, kernel, count);
    else if (node_class(anchor) == CLASS_ATTEND)
        count_attention(p, anchor, kernel, count);
    else if (node_class(anchor) == CLASS_CONV)
        count[COST_conv] = count_columns(p, anchor, work.macs);
    else if (node_class(anchor) == CLASS_RECURRENT && work.exps > 0)
        count[COST_decay] = count_columns(p, anchor, work.exps);
    else if (node_class(anchor) == CLASS_RECURRENT) /* and one multiplication for three of them */
        count[COST_linear_f32] = count_columns(p, anchor, work.macs * 4 / 3);
    return node_weight(anchor) || node_class(anchor) == CLASS_CONV;
}

/* What a function of the kernel takes, as a share of an exact one: those that may be off by 2^-12
 * have a third of the instructions (codegen/emit/math.c). */
static double
function_share(const Machine *m, const Graph *g, const Kernel *kernel)
{
    const double coarse = 0.3;
    return m->matrix.kind != MATRIX_none && kernel_rounds_results(g, kernel) ? coarse : 1;
}

void
cost_kernel_count(const Machine *machine, const Graph *g, const Kernel *kernel, int64_t past,
                  int64_t rows, int threads, double count[COST_STEPS])
{
    const Pass p = {machine, rows, threads > 0 ? threads : 1, past};
    Node *first = NULL, *last = NULL;
    double vectors = 0, exps = 0;
    memset(count, 0, COST_STEPS * sizeof *count);
    count[COST_step] = 1;
    kernel_range(g, kernel, &first, &last);
    for (const Node *n = first; n; n = n == last ? NULL : n->next) {
        if (n->kernel != kernel)
            continue;
        vectors += node_vectors(&p, n);
        if (node_class(n) == CLASS_POINTWISE)
            exps += op_info[n->op].work(n, g->block).exps * (double)type_choices(&n->out[0]->type);
    }
    if (!count_anchor(&p, g, kernel, count))
        count[COST_pass] = share(&p, vectors);
    count[COST_distant] = cost_away(machine, share(&p, vectors), p.threads);
    exps *= function_share(machine, g, kernel);
    count[COST_function] = share(&p, exps * (double)rows / (double)machine_lanes(machine));
}

/* ---- a graph ----------------------------------------------------------------------------- */

bool
cost_kernel_ssd(const Graph *g, const Kernel *kernel, int threads, CostSsd *out)
{
    const Node *n = kernel->anchor;
    if (!n || !op_has_forms(kernel_op(kernel)))
        return false;
    const bool recurrent = !node_by_chunks(n);
    const int64_t chunk = node_int(n, ATTR_chunk, CHUNK_ALL);
    *out = (CostSsd){.heads = node_int(n, ATTR_heads, 1),
                     .head_dim = node_int(n, ATTR_head_dim, 1),
                     .state = node_int(n, ATTR_state, 1),
                     .groups = node_int(n, ATTR_groups, 1),
                     .form = recurrent            ? FORM_RECURRENT
                             : chunk == CHUNK_ALL ? FORM_QUADRATIC
                                                  : FORM_CHUNKED,
                     .chunk = chunk,
                     .bf16 = strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0,
                     .solves = node_flag(n, 'V'),
                     .block = cost_block(g),
                     .threads = threads};
    return true;
}

Dtype
cost_kernel_dtype(const Kernel *kernel)
{
    const Node *n = kernel->anchor;
    const Value *weight = n ? node_weight(n) : NULL;
    if (n && node_class(n) == CLASS_ATTEND)
        return n->in[1]->type.dtype; /* keys' */
    if (!weight)
        return n && strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0 ? DTYPE_bf16 : DTYPE_f32;
    if (!dtype_info[weight->type.dtype].is_float)
        return DTYPE_u8;
    return weight->type.dtype == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32;
}

/* Of the other layers' states and weights so many bytes lie between two passes over an SSD that its
 * own state comes from memory. */
static double
state_read(const Machine *m, const CostSsd *z)
{
    const double bytes = 4.0 * (double)(z->heads * z->state) * (double)z->head_dim;
    const double threads = z->threads > 0 ? z->threads : 1;
    return bytes / m->vector_bytes / threads * m->costs.step[COST_read] * 1e-9;
}

double
cost_kernel(const Machine *machine, const Graph *g, const Kernel *kernel, int64_t past,
            int64_t rows, int threads)
{
    CostSsd ssd;
    double count[COST_STEPS], ns = 0;
    if (cost_kernel_ssd(g, kernel, threads, &ssd))
        return cost_ssd(machine, &ssd, rows) + state_read(machine, &ssd);
    cost_kernel_count(machine, g, kernel, past, rows, threads, count);
    const double read = count[COST_read] * machine->costs.step[COST_read];
    for (int s = 0; s < COST_STEPS; s++)
        ns += s == COST_read ? 0 : count[s] * machine->costs.step[s];
    return fmax(ns, read) * 1e-9;
}

/* One pass over the layers, or over the head. */
static double
cost_pass(const Machine *machine, const Graph *g, bool head, int64_t past, int64_t rows,
          int threads)
{
    double seconds = 0;
    for (int i = 0; i < g->nkernels && rows > 0; i++) {
        const Kernel *k = g->kernels[i];
        if (!kernel_is_init(g, k) && kernel_is_head(g, k) == head)
            seconds += cost_kernel(machine, g, k, past, rows, threads);
    }
    return seconds;
}

double
cost_prefill(const Machine *machine, const Graph *prefill, int threads, int64_t tokens)
{
    const int64_t block = cost_block(prefill), whole = tokens / block;
    /* Attention's work grows by as much from pass to pass: the mean is that of the one between. */
    const int64_t past = whole ? (whole - 1) * block / 2 : 0;
    return (double)whole * cost_pass(machine, prefill, false, past, block, threads) +
           cost_pass(machine, prefill, false, whole * block, tokens % block, threads) +
           cost_pass(machine, prefill, true, 0, 1, threads);
}
