/* compiler/product.c -- ssmc compile --emit obj|lib|so|exe: a model for one or several CPUs, with
 * or without its weights, as the objects that compiler/link.c makes one file of. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/internal.h"
#include "compiler/product.h"

/* One CPU's part; of a CPU with a matrix unit another follows, without. */
typedef struct {
    Machine machine;
    const char *name; /* of the variant: the CPU's, or CPU-vectors */
    const Graph *graphs[ENTRY_COUNT];
    ssmc_program *program; /* with embedded weights: what made them, kept while others compare */
    CgJit *jit;
    ssmc_model *model;
} Part;

typedef struct {
    Job *job;
    const ProductSettings *settings;
    Product product;
    Part *parts;
    CgVariant *variants; /* of the same index */
    int count;
    CgExport model;
} Making;

/* ---- code ---------------------------------------------------------------------------------- */

/* Targets in the order in which a machine tries them. */
static int
part_order(const void *a, const void *b)
{
    const Part *x = a, *y = b;
    return machine_asks_more(&y->machine, &x->machine) -
           machine_asks_more(&x->machine, &y->machine);
}

static int
check_machines(const Making *m)
{
    if (m->parts[0].machine.matrix.model)
        return tell_fault(m->product.listener, EXIT_BAD_INPUT,
                          "compile.matrix=model is for code that runs at once, in ssmc: products "
                          "have no C functions to call");
    for (int i = 1; i < m->count; i++) {
        const Machine *a = &m->parts[i - 1].machine, *b = &m->parts[i].machine;
        if (strcmp(a->triple, b->triple) != 0 && strncmp(a->triple, b->triple, 6) != 0)
            return tell_fault(m->product.listener, EXIT_BAD_INPUT,
                              "%s is %s, but %s is %s: one file is for one architecture", a->cpu,
                              a->triple, b->cpu, b->triple);
        for (int k = 0; k < i; k++)
            if (strcmp(m->parts[k].machine.cpu, b->cpu) == 0)
                return tell_fault(m->product.listener, EXIT_BAD_INPUT, "--cpu names %s twice",
                                  b->cpu);
    }
    return EXIT_DONE;
}

/* A machine refuses a matrix unit to a process, or hides it from a virtual CPU: after the code that
 * uses it comes the CPU's code without, unless other code asks for no more. */
static void
add_vectors(Making *m, int i)
{
    Part part = {.machine = m->parts[i].machine,
                 .name = arena_printf(m->job->arena, "%s-vectors", m->parts[i].name)};
    machine_vectors(&part.machine);
    int at = m->count;
    for (int k = 0; k < at; k++) {
        const Machine *other = &m->parts[k].machine;
        if (other->matrix.kind == MATRIX_none &&
            machine_needs(other) == machine_needs(&part.machine))
            return;
    }
    for (; at > i + 1 && machine_asks_more(&part.machine, &m->parts[at - 1].machine); at--)
        m->parts[at] = m->parts[at - 1];
    m->parts[at] = part;
    m->count++;
}

static int
make_code(Making *m, int i)
{
    Job *job = m->job;
    Part *part = &m->parts[i];
    job_machine(job, &part->machine);
    const int status = job_module(job);
    if (status != EXIT_DONE)
        return status;
    for (int entry = 0; entry < ENTRY_COUNT; entry++)
        part->graphs[entry] = job->graph[entry];
    m->variants[i] = (CgVariant){.module = job->module, .cpu = part->name};
    job->module = NULL;
    if (cg_module_on_unit(m->variants[i].module))
        add_vectors(m, i);
    return EXIT_DONE;
}

/* ---- embedded weights ---------------------------------------------------------------------- */

/* The packed parameters of a variant, by code that runs here. */
static int
make_params(Making *m, int i)
{
    Job *job = m->job;
    Part *part = &m->parts[i];
    const char *why = NULL;
    CgModule *module =
        cg_module_params(job->arena, &part->machine, part->graphs, ENTRY_COUNT, job->diag);
    if (!module)
        return tell_faults(m->product.listener, job->diag);
    part->jit = cg_jit(job->arena, module, job->threads, &why);
    if (!part->jit)
        return tell_fault(m->product.listener, EXIT_FAILED, "%s", why);
    Bar bar = bar_start(job, "packing weights");
    ssmc_status rs = rt_program_wrap(cg_jit_program(part->jit), &part->program);
    if (rs == SSMC_OK)
        rs = ssmc_model_open(part->program, job->weights, job->threads, bar_call, &bar,
                             &part->model);
    bar_end(&bar);
    return rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(m->product.listener, rs);
}

/* Parameters, then the tensors that steps read as they are. */
static CgPiece *
pieces_of(Making *m, int i, int *count)
{
    const CgModule *module = m->variants[i].module;
    const AbiProgram *abi = cg_module_abi(module);
    const size_t most = (size_t)abi->nweights + 1;
    CgPiece *pieces = arena_array(m->job->arena, most, sizeof *pieces);
    int64_t *offsets = arena_array(m->job->arena, most, sizeof *offsets);
    pieces[0] = (CgPiece){rt_model_params(m->parts[i].model), abi->param_bytes};
    int64_t at = round_up(abi->param_bytes, 64);
    *count = 1;
    for (int w = 0; w < abi->nweights; w++) {
        offsets[w] = -1;
        if (!cg_module_reads(module)[w])
            continue;
        const RtTensor *t = rt_weights_find(m->job->weights, abi->weights[w].tensor);
        pieces[(*count)++] = (CgPiece){rt_weights_whole(m->job->weights, t), (int64_t)t->bytes};
        offsets[w] = at;
        at += round_up((int64_t)t->bytes, 64);
    }
    m->variants[i].tensor_offset = offsets;
    return pieces;
}

static bool
same_pieces(const CgPiece *a, int na, const CgPiece *b, int nb)
{
    if (na != nb || a[0].bytes != b[0].bytes ||
        memcmp(a[0].data, b[0].data, (size_t)a[0].bytes) != 0)
        return false;
    for (int i = 1; i < na; i++)
        if (a[i].data != b[i].data || a[i].bytes != b[i].bytes)
            return false;
    return true;
}

static void
add_object(Making *m, const char *path)
{
    m->product.objects[m->product.nobjects++] = path;
}

/* A blob for each way in which the variants pack; variants that pack alike share one. */
static int
embed_weights(Making *m)
{
    Arena *arena = m->job->arena;
    CgPiece **pieces = arena_array(arena, (size_t)m->count, sizeof *pieces);
    int *npieces = arena_array(arena, (size_t)m->count, sizeof *npieces);
    for (int i = 0; i < m->count; i++) {
        const int status = make_params(m, i);
        if (status != EXIT_DONE)
            return status;
        pieces[i] = pieces_of(m, i, &npieces[i]);
        int same = 0;
        while (same < i && !same_pieces(pieces[same], npieces[same], pieces[i], npieces[i]))
            same++;
        m->variants[i].embedded = m->variants[same].embedded;
        if (same < i) {
            tell_text(m->product.listener, TOLD_notes, "weights for %s are packed as for %s\n",
                      m->variants[i].cpu, m->variants[same].cpu);
            continue;
        }
        const char *why = NULL;
        const char *path = product_file(&m->product, arena_printf(arena, "weights_%d.o", i));
        m->variants[i].embedded = arena_printf(arena, "%s_weights_%d", m->model.symbol, i);
        if (!cg_blob_write(arena, path, &m->parts[i].machine, m->variants[i].embedded, pieces[i],
                           npieces[i], &why))
            return tell_fault(m->product.listener, EXIT_FAILED, "%s", why);
        add_object(m, path);
        if (i > 0)
            tell_text(m->product.listener, TOLD_notes,
                      "weights for %s are packed in a way of their own: they are "
                      "in the file once more\n",
                      m->variants[i].cpu);
    }
    return EXIT_DONE;
}

/* ---- the model's own data ------------------------------------------------------------------ */

/* A C name: what is no letter or digit becomes '_'. */
static const char *
symbol_of(Arena *arena, const char *name)
{
    const bool digit = isdigit((unsigned char)name[0]) || !name[0];
    char *symbol = arena_printf(arena, "%s%s", digit ? "model_" : "", name);
    for (char *at = symbol; *at; at++)
        if (!isalnum((unsigned char)*at) || (unsigned char)*at > 0x7F)
            *at = '_';
    return symbol;
}

static int
read_tokenizer(Making *m)
{
    const char *path = m->job->fe.graph->tokenizer_path, *why = NULL;
    char *text = NULL;
    Tokenizer *tok = NULL;
    if (!path)
        return m->product.kind != PRODUCT_exe
                   ? EXIT_DONE
                   : tell_fault(m->product.listener, EXIT_BAD_INPUT,
                                "%s says no tokenizer, and a program needs one: give `tokenizer: "
                                "tokenizer.json`",
                                m->job->settings.model);
    JobChat chat = {0};
    int status = job_tokenizer(m->job, &tok); /* its faults show now, not in the product */
    if (status == EXIT_DONE)
        status = job_chat(m->job, tok, &chat);
    tok_free(tok);
    m->model.chat_template = chat.template;
    m->model.bos_text = chat.bos;
    m->model.eos_text = chat.eos;
    if (status != EXIT_DONE)
        return status;
    if (rt_kind_of(path) == RT_KIND_gguf) {
        if (!fe_gguf_tokenizer(m->job->arena, path, m->job->diag, &text, &m->model.tokenizer_bytes))
            return tell_faults(m->product.listener, m->job->diag);
    } else if (!tok_text_of(m->job->arena, path, &text, &m->model.tokenizer_bytes, &why))
        return tell_fault(m->product.listener, EXIT_BAD_INPUT, "%s", why);
    m->model.tokenizer = text;
    return EXIT_DONE;
}

static int
describe_export(Making *m)
{
    Job *job = m->job;
    const Graph *g = job->fe.graph;
    const char *name = g->name ? g->name : "";
    const bool made = strncmp(g->weights_path, "init:", 5) == 0;
    char *real = made ? NULL : realpath(g->weights_path, NULL);
    m->model = (CgExport){.symbol = m->product.kind == PRODUCT_exe ? "ssmc_product"
                                                                   : symbol_of(job->arena, name),
                          .name = name,
                          .weights = arena_strdup(job->arena, real ? real : g->weights_path),
                          .seed = g->seed,
                          .eos = g->eos,
                          .neos = g->neos};
    free(real);
    m->product.symbol = m->model.symbol;
    return read_tokenizer(m);
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* The C header and the rule of make that are asked for. */
static int
write_texts(const Making *m)
{
    const ProductSettings *settings = m->settings;
    const char *why = NULL;
    StrBuf text = {0};
    bool ok = true;
    if (settings->header) {
        product_header(&text, &m->model, m->variants, m->count);
        ok = file_write(m->job->arena, settings->header, sb_text(&text), text.len, &why);
        sb_free(&text);
    }
    if (ok && settings->depfile) {
        if (!product_depfile(&text, m->job, settings->out))
            why = "--depfile: a file's name has a line's end, which a rule of make cannot hold";
        ok = !why && file_write(m->job->arena, settings->depfile, sb_text(&text), text.len, &why);
        sb_free(&text);
    }
    return ok ? EXIT_DONE : tell_fault(m->product.listener, EXIT_BAD_INPUT, "%s", why);
}

static int
make_objects(Making *m)
{
    int status = EXIT_DONE;
    for (int i = 0; i < m->count && status == EXIT_DONE; i++)
        status = make_code(m, i);
    if (status == EXIT_DONE && m->settings->embed)
        status = embed_weights(m);
    if (status != EXIT_DONE)
        return status;
    if (m->settings->embed) { /* its saved states are those of the same weights in files */
        const ssmc_status rs = rt_weights_fingerprint(cg_module_abi(m->variants[0].module),
                                                      m->job->weights, m->model.identity);
        if (rs != SSMC_OK)
            return tell_runtime_fault(m->product.listener, rs);
    }
    cg_export(&m->model, m->variants, m->count);
    for (int i = 0; i < m->count; i++) {
        Arena *arena = m->job->arena;
        StrBuf bytes = {0};
        const char *why = NULL;
        const char *path = product_file(&m->product, arena_printf(arena, "code_%d.o", i));
        cg_emit(m->variants[i].module, CG_OBJ, &bytes);
        const bool ok = file_write(arena, path, sb_text(&bytes), bytes.len, &why);
        sb_free(&bytes);
        if (!ok)
            return tell_fault(m->product.listener, EXIT_FAILED, "%s", why);
        add_object(m, path);
    }
    return EXIT_DONE;
}

int
job_product(Job *job, const ProductSettings *settings)
{
    Making m = {.job = job, .settings = settings, .count = job->nmachines};
    const size_t most = 2 * (size_t)m.count; /* variants */
    m.parts = arena_array(job->arena, most, sizeof *m.parts);
    m.variants = arena_array(job->arena, most, sizeof *m.variants);
    for (int i = 0; i < m.count; i++)
        m.parts[i] = (Part){.machine = job->machines[i], .name = job->machines[i].cpu};
    qsort(m.parts, (size_t)m.count, sizeof *m.parts, part_order);
    const char *triple = m.parts[0].machine.triple;
    m.product = (Product){.kind = settings->kind,
                          .arena = job->arena,
                          .listener = job->settings.listener,
                          .out = settings->out,
                          .dir = {.fd = -1},
                          .arch = arena_strndup(job->arena, triple, strcspn(triple, "-")),
                          .objects = arena_array(job->arena, 2 * most, sizeof(const char *)),
                          .files = !settings->embed};
    int status = check_machines(&m);
    job->settings.whole_weights = settings->embed;
    if (status == EXIT_DONE)
        status = job_weights(job, settings->embed);
    if (status == EXIT_DONE)
        status = describe_export(&m);
    if (status == EXIT_DONE && !product_begin(&m.product))
        status = EXIT_BAD_INPUT;
    if (status == EXIT_DONE)
        status = make_objects(&m);
    if (status == EXIT_DONE)
        status = write_texts(&m);
    if (status == EXIT_DONE)
        status = product_link(&m.product);
    for (int i = 0; i < m.count; i++) {
        ssmc_model_close(m.parts[i].model);
        rt_program_free(m.parts[i].program);
        if (m.parts[i].jit)
            cg_jit_free(m.parts[i].jit);
        cg_module_free(m.variants[i].module);
    }
    product_end(&m.product);
    return status;
}
