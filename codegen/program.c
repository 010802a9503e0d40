/* codegen/program.c -- the tables of a program: weights, states, parameters, operands and steps.
 *
 * The graphs of all entries fill one program. What they share is found by name: weights by tensor,
 * states, inputs and outputs by name, parameters by the text of the expression that makes them, so
 * that a weight that all pack alike is packed once. */
#include <string.h>

#include "codegen/module.h"

enum { ALIGNMENT = 64 };
_Static_assert((int)IR_MAX_RANK == (int)ABI_MAX_RANK, "dimensions of weights and states");

/* ---- weights ------------------------------------------------------------------------------- */

bool
cg_abi_dtype(Dtype dtype, AbiDtype *out)
{
#define NAME(name) #name,
    static const char *const names[] = {ABI_DTYPES(NAME)};
#undef NAME
    for (int i = 0; i < ABI_DTYPE_COUNT; i++) {
        *out = (AbiDtype)i;
        if (strcmp(names[i], dtype_info[dtype].safetensors) == 0)
            return true;
    }
    return false;
}

static void
copy_dims(const Shape *shape, int32_t *rank, int64_t dim[ABI_MAX_RANK])
{
    *rank = (int32_t)shape->rank;
    for (int i = 0; i < shape->rank; i++)
        dim[i] = shape->dim[i].n;
}

static int
weight_add(CgProgram *p, const Value *v)
{
    AbiWeight w = {.tensor = v->tensor ? v->tensor : v->name, .init = v->init ? v->init : ""};
    if (!dtype_info[v->type.dtype].is_float || !cg_abi_dtype(v->type.dtype, &w.dtype)) {
        diag_error(p->diag, v->loc, "weight `%s` is %s: weights are f32, f16 or bf16", v->name,
                   dtype_info[v->type.dtype].name);
        return -1;
    }
    copy_dims(&v->type.shape, &w.rank, w.dim);
    StrBuf name = {0};
    sb_printf(&name, "%s ", w.tensor);
    type_print(&name, &v->type);
    const int at = texts_add(&p->weight_names, sb_text(&name));
    sb_free(&name);
    if (at < p->abi.nweights)
        return at;
    w.tensor = arena_strdup(p->arena, w.tensor);
    w.init = arena_strdup(p->arena, w.init);
    VEC_PUSH(p->arena, p->weights, p->abi.nweights, p->cap_weights, w);
    return at;
}

/* ---- states -------------------------------------------------------------------------------- */

/* Bytes of a value of constant shape. False on overflow. */
static bool
bytes_of(const Value *v, int64_t *out)
{
    int64_t count = 0;
    return type_count(&v->type, 1, 1, &count) &&
           size_mul(count, dtype_info[v->type.dtype].bytes, out) && *out <= INT64_MAX / 4;
}

static const AbiState *
state_find(const CgProgram *p, const char *name)
{
    const int at = texts_find(&p->state_names, name);
    return at < 0 ? NULL : &p->states[at];
}

/* The only op that names it may say that rows of its last tokens are enough. */
static int64_t
state_window(const Graph *g, const Value *state)
{
    for (const Node *n = g->first; n; n = n->next)
        if (node_gives_state(n) && node_operand(n, 's') == state)
            return node_int(n, ATTR_window, 0);
    return 0;
}

/* Bytes of a sequence's state, or of each token's row of it. */
static bool
state_size(const Graph *g, const Value *v, AbiState *s)
{
    if (!type_grows(&v->type))
        return bytes_of(v, &s->bytes);
    s->window = state_window(g, v);
    return size_mul(cg_width(v), dtype_info[v->type.dtype].bytes, &s->row_bytes);
}

static bool
state_add(CgProgram *p, const Graph *g, const Value *v)
{
    AbiState s = {.offset = p->abi.state_bytes};
    if (!cg_abi_dtype(v->type.dtype, &s.dtype) || !state_size(g, v, &s) ||
        !size_add(s.offset, round_up(s.bytes, ALIGNMENT), &p->abi.state_bytes)) {
        diag_error(p->diag, v->loc, "state `%s` is too large for an address", v->name);
        return false;
    }
    copy_dims(&v->type.shape, &s.rank, s.dim);
    s.name = texts_at(&p->state_names, texts_add(&p->state_names, v->name));
    VEC_PUSH(p->arena, p->states, p->abi.nstates, p->cap_states, s);
    return true;
}

static bool
states_gather(CgProgram *p, const Graph *g)
{
    for (int i = 0; i < g->nstates; i++) {
        const Value *v = g->states[i];
        const AbiState *known = state_find(p, v->name);
        if (!known && !state_add(p, g, v))
            return false;
        AbiState s = {0};
        if (known && (!state_size(g, v, &s) || s.bytes != known->bytes ||
                      s.row_bytes != known->row_bytes || s.window != known->window)) {
            diag_error(p->diag, v->loc, "state `%s` has %lld bytes here, but %lld in another entry",
                       v->name, (long long)(s.bytes + s.row_bytes),
                       (long long)(known->bytes + known->row_bytes));
            return false;
        }
    }
    return true;
}

/* ---- parameters ---------------------------------------------------------------------------- */

static int param_of(CgProgram *p, const Value *v);

/* The expression one level deep; operands are numbers of expressions already known. */
static void
param_text(CgProgram *p, const Value *v, StrBuf *sb)
{
    if (v->kind == VALUE_NUMBER) {
        sb_printf(sb, "%.17g", v->number);
        return;
    }
    if (v->kind != VALUE_RESULT) {
        sb_printf(sb, "weight %d", weight_add(p, v));
        return;
    }
    sb_puts(sb, op_info[v->def->op].name);
    attrs_print(sb, &v->def->attrs);
    for (int i = 0; i < v->def->nin; i++)
        sb_printf(sb, " $%d", v->def->in[i] ? param_of(p, v->def->in[i]) : -1);
    sb_printf(sb, " .%d ", v->result);
    type_print(sb, &v->type);
}

/* Number of the expression of a parameter. Recursion is one level deep, as cg_program_turn asks for
 * every parameter in the order of their nodes. */
static int
param_of(CgProgram *p, const Value *v)
{
    if (p->param_of[v->id])
        return p->param_of[v->id] - 1;
    StrBuf sb = {0};
    param_text(p, v, &sb);
    const int at = texts_add(&p->param_texts, sb_text(&sb));
    sb_free(&sb);
    if (at == p->nparams)
        VEC_PUSH(p->arena, p->params, p->nparams, p->cap_params, -1);
    p->param_of[v->id] = at + 1;
    return at;
}

static bool
param_place(CgProgram *p, const Value *v)
{
    int64_t *offset = &p->params[param_of(p, v)], bytes = 0;
    if (*offset >= 0)
        return true;
    *offset = p->abi.param_bytes;
    if (bytes_of(v, &bytes) &&
        size_add(p->abi.param_bytes, round_up(bytes, machine_alignment(p->machine)),
                 &p->abi.param_bytes))
        return true;
    diag_error(p->diag, v->loc, "parameter `%s` is too large for an address", v->name);
    return false;
}

uint64_t
cg_program_params_hash(const CgProgram *p)
{
    uint64_t hash = hash_bytes(&p->abi.param_bytes, sizeof p->abi.param_bytes, 0);
    for (int i = 0; i < p->nparams; i++) {
        const char *text = texts_at(&p->param_texts, i);
        hash = hash_bytes(text, strlen(text), hash);
        hash = hash_bytes(&p->params[i], sizeof p->params[i], hash);
    }
    for (int i = 0; i < p->abi.nweights; i++) {
        const AbiWeight *w = &p->weights[i];
        hash = hash_bytes(w->tensor, strlen(w->tensor), hash);
        hash = hash_bytes(&w->dtype, sizeof w->dtype, hash);
        hash = hash_bytes(w->dim, sizeof *w->dim * (size_t)w->rank, hash);
    }
    return hash;
}

bool
cg_program_has(CgProgram *p, const CgKernel *k)
{
    for (int i = 0; i < k->noperands; i++)
        if (k->operands[i].is_output && p->params[param_of(p, k->operands[i].value)] < 0)
            return false;
    return true;
}

/* ---- operands ------------------------------------------------------------------------------ */

static bool
misplaced(CgProgram *p, const Value *v, const char *why)
{
    diag_error(p->diag, v->loc, "`%s` %s", v->name, why);
    return false;
}

static bool
state_operand(const CgProgram *p, const Value *v, AbiOperand *out)
{
    const AbiState *s = state_find(p, v->name);
    *out = s->row_bytes ? (AbiOperand){.space = ABI_KEPT, .index = (int32_t)(s - p->states)}
                        : (AbiOperand){.space = ABI_STATE, .offset = s->offset};
    return true;
}

static bool
result_operand(CgProgram *p, const Value *v, bool is_output, AbiOperand *out)
{
    if (v->is_param) {
        if (is_output && !param_place(p, v))
            return false;
        *out = (AbiOperand){.space = ABI_PARAM, .offset = p->params[param_of(p, v)]};
        return out->offset >= 0 || misplaced(p, v, "is a parameter that no earlier kernel makes");
    }
    const Place *place = &v->place;
    if (node_gives_state(v->def))
        return state_operand(p, node_operand(v->def, 's'), out);
    if (place->space != SPACE_SLAB && place->space != SPACE_OUTPUT)
        return misplaced(p, v, "leaves its kernel but has no place: memory is not planned");
    *out = (AbiOperand){.space = place->space == SPACE_SLAB ? ABI_SLAB : ABI_OUTPUT,
                        .offset = place->offset};
    return true;
}

static bool
operand_of(CgProgram *p, const CgOperand *o, AbiOperand *out)
{
    const Value *v = o->value;
    switch (v->kind) {
    case VALUE_INPUT:
        *out = (AbiOperand){.space = ABI_INPUT, .index = texts_find(&p->input_names, v->name)};
        return true;
    case VALUE_WEIGHT:
        *out = (AbiOperand){.space = ABI_WEIGHT, .index = weight_add(p, v)};
        return out->index >= 0;
    case VALUE_STATE:
        return state_operand(p, v, out);
    case VALUE_RESULT:
        return result_operand(p, v, o->is_output, out);
    case VALUE_NUMBER:
        break;
    }
    die("program: a number is no operand");
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* AbiStep.pieces */
static int32_t
pieces_of(const Kernel *k)
{
    const Attr *part = attrs_find(&k->attrs, ATTR_part);
    const Attr *pieces = attrs_find(&k->attrs, ATTR_pieces);
    if (!part || strcmp(part->word, "none") == 0)
        return 0;
    return pieces ? (int32_t)pieces->i : 1;
}

static bool
divides(const CgKernel *k, const char *what)
{
    const Attr *part = attrs_find(&k->kernel->attrs, ATTR_part);
    return part && strcmp(part->word, what) == 0;
}

/* AbiStep.by_rows: rows of a weight, or of a token's choices, are no rows of a pass. */
static bool
divides_rows(const CgKernel *k)
{
    for (int i = 0; i < k->noperands; i++) {
        const Value *v = k->operands[i].value;
        const DimKind kind = v->type.shape.rank > 0 ? v->type.shape.dim[0].kind : DIM_CONST;
        if (k->operands[i].is_output && kind != DIM_TOKENS && kind != DIM_ROWS && kind != DIM_KEPT)
            return false;
    }
    return divides(k, "rows");
}

/* AbiStep.few, and the panels that it is about: those of a packed weight, but of no experts. */
static void
panels_find(const CgKernel *k, AbiStep *step)
{
    const Node *n = k->kernel->anchor;
    const Attr *tile = attrs_find(&k->kernel->attrs, ATTR_tile);
    const Value *w = n && tile && !divides(k, "rows") ? node_operand(n, 'W') : NULL;
    const CgOperand *o = w ? cg_operand(k, w) : NULL;
    int64_t bytes = 0;
    if (!o || !w->is_param || node_operand(n, 'e') || w->type.shape.rank < 3 ||
        !bytes_of(w, &bytes) || tile->i > ABI_LONG_PASS)
        return;
    step->few = (int32_t)tile->i;
    step->weight = (int32_t)(o - k->operands);
    step->panels = w->type.shape.dim[0].n;
    step->panel_bytes = bytes / step->panels;
}

int
cg_program_launch(CgProgram *p, const AbiLaunch *launch)
{
    AbiLaunch row = *launch;
    row.symbol = arena_strdup(p->arena, launch->symbol);
    VEC_PUSH(p->arena, p->launches, p->abi.nlaunches, p->cap_launches, row);
    return p->abi.nlaunches - 1;
}

bool
cg_program_step(CgProgram *p, const CgKernel *k, Val run, int launch)
{
    CgStep step = {.run = run};
    step.row.launch = launch;
    step.row.name = arena_strdup(p->arena, k->kernel->name);
    step.row.first_operand = p->abi.noperands;
    step.row.operands = k->noperands;
    step.row.pieces = pieces_of(k->kernel);
    step.row.by_rows = divides_rows(k);
    panels_find(k, &step.row);
    for (int i = 0; i < k->noperands; i++) {
        AbiOperand operand = {0};
        if (!operand_of(p, &k->operands[i], &operand))
            return false;
        VEC_PUSH(p->arena, p->operands, p->abi.noperands, p->cap_operands, operand);
    }
    VEC_PUSH(p->arena, p->steps, p->abi.nsteps, p->cap_steps, step);
    return true;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static int64_t
common_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* AbiEntry.grain: the least common multiple of the chunk lengths. A chunk over all tokens cannot be
 * cut, nor can a product by BLAS, whose sums may depend on how many rows there are. */
static int64_t
grain_of(const Graph *g)
{
    int64_t grain = 1;
    for (const Node *n = g->first; n; n = n->next) {
        bool required;
        if (strcmp(node_word(n, ATTR_matmul, ""), "blas") == 0)
            return 0;
        const Attr *chunk = attrs_find(&n->attrs, ATTR_chunk);
        if (!chunk || (chunk->i <= 0 && op_takes_attr(n->op, ATTR_chunk, &required) && !required))
            continue; /* token after token */
        if (chunk->i <= 0)
            return 0;
        if (!size_mul(grain / common_divisor(grain, chunk->i), chunk->i, &grain) ||
            grain > g->block)
            return 0; /* no cut of a pass */
    }
    return grain;
}

static AbiCount
rows_of(const Value *v)
{
    return v->type.shape.dim[0].kind == DIM_ROWS ? ABI_PICKED : ABI_TOKENS;
}

static void
inputs_gather(CgProgram *p, const Graph *g)
{
    for (int i = 0; i < g->ninputs; i++) {
        const Value *v = g->inputs[i];
        const int at = texts_add(&p->input_names, v->name);
        const AbiInput input = {.name = texts_at(&p->input_names, at), .rows = rows_of(v)};
        if (at == p->abi.ninputs)
            VEC_PUSH(p->arena, p->inputs, p->abi.ninputs, p->cap_inputs, input);
    }
}

/* What has no place among the outputs yet is reported when its kernel is made. */
static bool
output_add(CgProgram *p, const Value *v)
{
    const int at = texts_add(&p->output_names, v->name);
    const bool chosen = op_has_flag(v->def->op, 'T');
    const AbiOutput o = {.name = texts_at(&p->output_names, at),
                         .dtype = v->type.dtype == DTYPE_i32 ? ABI_I32 : ABI_F32,
                         .rows = rows_of(v),
                         .width = cg_width(v),
                         .stride = v->place.stride,
                         .offset = v->place.offset,
                         .candidates = chosen ? node_int(v->def, ATTR_top, 1) : 0};
    if (at == p->abi.noutputs) {
        VEC_PUSH(p->arena, p->outputs, p->abi.noutputs, p->cap_outputs, o);
        return true;
    }
    const AbiOutput *known = &p->outputs[at];
    return (known->rows == o.rows && known->dtype == o.dtype && known->width == o.width &&
            known->stride == o.stride && known->offset == o.offset &&
            known->candidates == o.candidates) ||
           misplaced(p, v, "is not the output that another entry has of that name");
}

static bool
outputs_gather(CgProgram *p, const Graph *g)
{
    for (int i = 0; i < g->noutputs; i++) {
        const bool chosen = op_has_flag(g->outputs[i]->def->op, 'T');
        if (!(chosen && p->params_only) && !output_add(p, g->outputs[i]))
            return false;
    }
    if (p->abi.output_bytes < g->output_bytes)
        p->abi.output_bytes = g->output_bytes;
    return true;
}

static void
entry_add(CgProgram *p, const Graph *g)
{
    const AbiEntry e = {.name = g->entry ? g->entry->name : "",
                        .tokens = g->entry ? g->entry->tokens : 0,
                        .block = g->block,
                        .rows = g->rows,
                        .slab_bytes = g->slab_bytes,
                        .grain = grain_of(g)};
    VEC_PUSH(p->arena, p->entries, p->abi.nentries, p->cap_entries, e);
}

void
cg_program_turn(CgProgram *p, const Graph *g)
{
    p->graph = g;
    p->param_of = arena_array(p->arena, (size_t)g->nvalue_ids + 1, sizeof *p->param_of);
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++)
            if (n->out[i]->is_param)
                param_of(p, n->out[i]);
}

bool
cg_program_graph(CgProgram *p, const Graph *g)
{
    const SrcLoc nowhere = {0};
    if (g->stage != STAGE_KERNEL) {
        diag_error(p->diag, nowhere, "graph \"%s\" is in stage %s; code is made of stage kernel",
                   g->name, stage_name[g->stage]);
        return false;
    }
    if (!g->noutputs || !g->ninputs || g->block < 1 || g->rows < 1) {
        diag_error(p->diag, nowhere,
                   "graph \"%s\" needs an input, an output, and `block` and `rows` of at least 1",
                   g->name);
        return false;
    }
    if (!p->abi.name)
        p->abi.name = arena_strdup(p->arena, g->name ? g->name : "");
    p->abi.identity = g->identity;
    p->abi.numerics = arena_strdup(p->arena, g->numerics ? g->numerics : "");
    entry_add(p, g);
    inputs_gather(p, g);
    return states_gather(p, g) && outputs_gather(p, g);
}
