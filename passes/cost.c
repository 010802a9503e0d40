/* passes/cost.c -- what an SSD takes by the constants of the machine (passes/cost.h). */
#include "passes/cost.h"

#include <math.h>
#include <string.h>

#include "passes/internal.h"

const char *const form_name[FORMS] = {
    [FORM_AUTO] = "auto",
    [FORM_RECURRENT] = "recurrent",
    [FORM_CHUNKED] = "chunked",
    [FORM_QUADRATIC] = "quadratic",
};

/* Multiples of the tiles' rows (12, 6, 4) and of vectors (16), which waste least. */
const int64_t cost_chunks[] = {16, 24, 32, 48, 64, 96, 128, 192, 256, 0};

bool
form_by_name(const char *name, Form *out)
{
    for (int i = 0; i < FORMS; i++) {
        if (strcmp(form_name[i], name) != 0)
            continue;
        *out = (Form)i;
        return true;
    }
    return false;
}

/* ---- predictions ------------------------------------------------------------------------- */

int64_t
cost_block(const Graph *g)
{
    return g->block > 0 ? g->block : format_info[FORMAT_f32].block; /* models say it */
}

/* Tokens of a pass for each that a matrix has a row of: E / k where tokens go to k of E experts,
 * the most there is; else 1. */
static double
tokens_a_row(const Graph *g)
{
    double most = 1;
    for (const Node *n = g ? g->first : NULL; n; n = n->next)
        most = fmax(most, (double)node_experts(n) / (double)type_choices(&n->out[0]->type));
    return most;
}

int64_t
cost_pass_tokens(const Machine *m, Format format, const Graph *graph)
{
    enum { TILE_ROWS = 16, TILE_BYTES = 1024, MOST = 1024 };
    if (m->gpu.kind != GPU_none)
        return m->gpu.block;
    const double spread = tokens_a_row(graph);
    const int64_t most = spread > 1 ? 2 * MOST : MOST;
    const bool bytes = format_info[format].bits > 0,
               reals = format_info[format].reals == DTYPE_bf16;
    int64_t tokens = format_info[format].block;
    if (!(bytes ? m->matrix.i8 : reals && m->matrix.bf16))
        return tokens;
    const CostTable shipped = costs_shipped(m);
    const double *step = shipped.step;
    const double product = step[bytes ? COST_matrix_u8 : COST_matrix_bf16] / TILE_ROWS / TILE_BYTES;
    const double read = step[COST_read] / m->vector_bytes;
    while (tokens < most &&
           (double)tokens / spread * product * 4 / 3 < 2 * read) /* to the nearest */
        tokens *= 2;
    return tokens;
}

/* Only chunks have a length, and the recurrence multiplies no pairs. */
bool
cost_same(const CostSsd *a, const CostSsd *b)
{
    return a->heads == b->heads && a->head_dim == b->head_dim && a->state == b->state &&
           a->groups == b->groups && a->form == b->form &&
           (a->form != FORM_CHUNKED || a->chunk == b->chunk) &&
           (a->form == FORM_RECURRENT || a->bf16 == b->bf16) && a->solves == b->solves &&
           a->block == b->block && a->threads == b->threads;
}

double
cost_away(const Machine *m, double vectors, int64_t threads)
{
    const double fits = fmax((double)m->l2_bytes / m->vector_bytes, 1);
    const double kept = 1 - fmin(fmax(vectors / fits - 1, 0), 1);
    return vectors * (1 - kept / (double)threads);
}

CostKind
cost_kind(const Machine *m, const CostSsd *ssd)
{
    if (ssd->form == FORM_RECURRENT)
        return COST_recurrent;
    if (ssd->bf16 && m->matrix.bf16)
        return COST_chunked_matrix;
    return ssd->bf16 && m->bf16_dot ? COST_chunked_bf16 : COST_chunked_f32;
}

/* A vector of the state is loaded, decayed, written to, read twice and stored, beside broadcasts of
 * the key before, the key and the query. */
static double
recurrent_delta(const Machine *m, const CostSsd *z, int64_t tokens)
{
    enum { STEPS = 8 };
    const int64_t threads = z->threads > 0 ? z->threads : 1, lanes = machine_lanes(m);
    const int64_t vectors = (z->head_dim + lanes - 1) / lanes;
    const double heads = (double)((z->heads + threads - 1) / threads);
    return heads * (double)(z->state * vectors) * (double)tokens * STEPS *
           m->costs.step[COST_linear_f32] * 1e-9;
}

/* Beside a matrix unit vectors take each row of X from the rows after it, in tiles. */
static double
solved_beside(const Machine *m, const CostSsd *z, int64_t tokens)
{
    const int64_t chunk = z->form == FORM_CHUNKED && z->chunk < z->block ? z->chunk : z->block;
    const int64_t threads = z->threads > 0 ? z->threads : 1, lanes = machine_lanes(m);
    const TileChunk t = tile_chunk(m, false, chunk, z->head_dim, z->state, z->block);
    const double heads = (double)((z->heads + threads - 1) / threads);
    const double rows = (double)(chunk + t.rows) / 2;
    return heads * (double)(t.x_stride / lanes) * (double)tokens * rows *
           m->costs.step[COST_linear_f32] * 1e-9;
}

double
cost_ssd(const Machine *m, const CostSsd *ssd, int64_t tokens)
{
    if (ssd->solves && ssd->form == FORM_RECURRENT)
        return recurrent_delta(m, ssd, tokens);
    double count[COST_TERMS], ns = 0;
    const double *term = m->costs.term[cost_kind(m, ssd)];
    if (!cost_count(m, ssd, tokens, count))
        return INFINITY;
    for (int t = 0; t < COST_TERMS; t++)
        ns += count[t] * term[t];
    const bool beside = ssd->solves && cost_kind(m, ssd) == COST_chunked_matrix;
    return ns * 1e-9 + (beside ? solved_beside(m, ssd, tokens) : 0);
}
