/* compiler/describe.c -- from a description and settings to the graph of a model: what settings say
 * over the description, the machine it is compiled for. */
#include <string.h>

#include "compiler/internal.h"

/* ---- settings ------------------------------------------------------------------------------- */

Settings
settings_new(const char *model, const Listener *listener)
{
    Settings s = {.model = model,
                  .form = FORM_AUTO,
                  .chunk = CHUNK_AUTO,
                  .format = FORMAT_COUNT,
                  .threads = -1,
                  .passes = {.stop_after = -1},
                  .listener = listener};
    for (int i = 0; i < PASS_COUNT; i++)
        s.passes.off[i] = !pass_info[i].on;
    return s;
}

void
settings_over(Settings *s, const char *key, int64_t value)
{
    if (s->nover == MOST_OVERRIDES)
        die("more than %d numbers over a description", MOST_OVERRIDES);
    s->over[s->nover++] = (Override){key, value};
}

/* The frontend reads what goes over a description as key=value: one list of what the settings have,
 * and of `more` (NULL: nothing). */
static const char **
all_sets(const Job *job, const char *more, int *count)
{
    enum { TYPED = 8 };
    const Settings *s = &job->settings;
    Arena *arena = job->arena;
    const char **sets = arena_array(arena, (size_t)(s->nsets + s->nover + TYPED), sizeof *sets);
    int n = 0;
    for (int i = 0; i < s->nsets; i++)
        sets[n++] = s->sets[i];
    for (int i = 0; i < s->nover; i++)
        sets[n++] = arena_printf(arena, "%s=%lld", s->over[i].key, (long long)s->over[i].value);
    if (s->form != FORM_AUTO)
        sets[n++] = arena_printf(arena, "compile.form=%s", form_name[s->form]);
    if (s->chunk == CHUNK_ALL)
        sets[n++] = "compile.chunk=all";
    else if (s->chunk != CHUNK_AUTO)
        sets[n++] = arena_printf(arena, "compile.chunk=%lld", (long long)s->chunk);
    if (s->format != FORMAT_COUNT)
        sets[n++] = arena_printf(arena, "compile.dtype=%s", format_info[s->format].name);
    if (s->matmul)
        sets[n++] = arena_printf(arena, "compile.matmul=%s", s->matmul);
    if (s->threads >= 0)
        sets[n++] = arena_printf(arena, "compile.threads=%d", s->threads);
    if (s->random_weights)
        sets[n++] = "weights={init: reference, seed: 0}";
    if (more)
        sets[n++] = more;
    *count = n;
    return sets;
}

/* ---- the graph ------------------------------------------------------------------------------ */

/* A graph as it is, made in memory or read as a text, whose header says where weights and tokenizer
 * are; with the compile: section that the settings make. */
static int
take_graph(Job *job)
{
    enum { MAX_TEXT = 256 << 20 };
    const Settings *s = &job->settings;
    const char *why = NULL;
    char *text = NULL;
    int nsets = 0;
    job->fe.graph = s->graph;
    if (!s->graph) {
        Source *source = arena_alloc(job->arena, sizeof *source);
        if (!file_read(job->arena, s->model, MAX_TEXT, &text, &source->len, &why))
            return tell_fault(s->listener, EXIT_BAD_INPUT, "%s", why);
        source->path = s->model;
        source->text = text;
        job->fe.graph = graph_parse(job->arena, source, job->diag);
    }
    const char **sets = all_sets(job, NULL, &nsets);
    return fe_compile_load(job->arena, sets, nsets, job->diag, &job->fe.compile) && job->fe.graph &&
                   graph_verify(job->fe.graph, job->diag)
               ? EXIT_DONE
               : tell_faults(s->listener, job->diag);
}

static bool
read_description(Job *job, const char *more)
{
    const Settings *s = &job->settings;
    int nsets = 0;
    const char **sets = all_sets(job, more, &nsets);
    return s->yaml ? fe_model_parse(job->arena, s->yaml, strlen(s->yaml), s->model, sets, nsets,
                                    job->diag, &job->fe)
                   : fe_model_load(job->arena, s->model, sets, nsets, job->diag, &job->fe);
}

/* Kernels multiply quantised blocks as the file stores them, unless the user chose a dtype. */
static void
describe_stored(Job *job)
{
    FeCompile *c = &job->fe.compile;
    const char *path = job->fe.graph->weights_path;
    if (!c->format_open || strcmp(c->device, "cpu") != 0 || !path || !rt_gguf_has_blocks(path))
        return;
    c->format = FORMAT_stored;
    if (!c->kept_chosen)
        c->kept_dtype = format_info[FORMAT_stored].reals;
}

/* What the runtime tells models and programs apart by: numerics is what else than the order of sums
 * makes numbers differ. */
static void
describe_identity(Job *job)
{
    const FeCompile *c = &job->fe.compile;
    const char *text = format_info[c->format].name;
    if (c->group >= 0)
        text = arena_printf(job->arena, "%s group %lld", text, (long long)c->group);
    if (c->state_dtype != DTYPE_f32)
        text = arena_printf(job->arena, "%s, %s state", text, dtype_info[c->state_dtype].name);
    if (c->kept_chosen && c->kept_dtype != format_info[c->format].reals)
        text = arena_printf(job->arena, "%s, %s kept", text, dtype_info[c->kept_dtype].name);
    if (strcmp(c->dot, "f32") != 0)
        text = arena_printf(job->arena, "%s, %s", text, c->dot);
    job->fe.graph->identity = graph_identity(job->fe.graph);
    job->fe.graph->numerics = text;
    job->eos = job->fe.graph->eos;
    job->neos = (size_t)job->fe.graph->neos;
}

/* The description once more, with a weight of its own where another served in its place. */
int
describe_untied(Job *job)
{
    StrBuf again = {0};
    tell_notes(job->settings.listener, job->diag);
    if (!read_description(job, job->fe.tied.untie))
        return tell_faults(job->settings.listener, job->diag);
    diag_take_notes(job->diag, &again); /* they have been told */
    sb_free(&again);
    describe_stored(job);
    describe_identity(job);
    return EXIT_DONE;
}

/* ---- the machine ---------------------------------------------------------------------------- */

void
job_machine(Job *job, const Machine *machine)
{
    job->machine = *machine;
    if (!job->settings.machine && job->settings.tune != TUNE_SHIPPED)
        (machine->gpu.kind == GPU_none ? costs_load : tiles_load)(job->arena, &job->machine,
                                                                  job->settings.listener);
    if (job->open_block)
        job->fe.graph->block =
            cost_pass_tokens(&job->machine, job->fe.compile.format, job->fe.graph);
    job->measured = NULL; /* what was measured is of another machine */
    job->nmeasured = job->cap_measured = 0;
}

bool
machine_device(Machine *machine, const char *word)
{
    RtGpu here;
    if (!machine_gpu(machine, word))
        return false;
    if (strcmp(word, "cuda") == 0 && rt_gpu_look(&here))
        machine_gpu_found(machine, here.capability);
    return true;
}

/* The machines of a list of CPUs; the first is the one that anything but a product is for. */
static int
describe_machines(Job *job)
{
    enum { MOST = 16 };
    const Listener *listener = job->settings.listener;
    Machine *machines = arena_array(job->arena, MOST, sizeof *machines);
    job->machines = machines;
    if (job->settings.machine) {
        machines[job->nmachines++] = *job->settings.machine;
        job_machine(job, &machines[0]);
        return EXIT_DONE;
    }
    for (const char *at = job->fe.compile.cpu;;) {
        const size_t len = strcspn(at, ",");
        const char *name = arena_strndup(job->arena, at, len), *why = NULL;
        if (job->nmachines == MOST)
            return tell_fault(listener, EXIT_BAD_INPUT, "--cpu names more than %d CPUs", MOST);
        if (!cg_machine(job->arena, name, &machines[job->nmachines++], &why))
            return tell_fault(listener, EXIT_BAD_INPUT, "%s", why);
        Machine *machine = &machines[job->nmachines - 1];
        machine_matrix(machine, job->fe.compile.matrix);
        machine_device(machine, job->fe.compile.device);
        const FormatInfo *format = &format_info[job->fe.compile.format];
        if (machine->gpu.kind != GPU_none && format->bits)
            return tell_fault(listener, EXIT_BAD_INPUT,
                              "compile.dtype=%s is for CPUs: on compile.device=%s projections "
                              "multiply f32 or bf16",
                              format->name, job->fe.compile.device);
        const char *note = machine_note(job->arena, machine);
        if (note)
            tell_text(listener, TOLD_note, "%s", note);
        if (strcmp(job->fe.compile.dot, "bf16x3") == 0 && !machine->matrix.bf16)
            tell_text(listener, TOLD_note,
                      "compile.dot=bf16x3: no matrix unit multiplies bf16 for %s, so its vectors "
                      "multiply f32",
                      name);
        at += len;
        if (!*at++)
            break;
    }
    job_machine(job, &machines[0]);
    return EXIT_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------ */

bool
is_text_graph(const char *path)
{
    const size_t len = strlen(path);
    return len > 3 && strcmp(path + len - 3, ".ir") == 0;
}

int
job_describe(Job *job, Arena *arena, const Settings *settings)
{
    *job = (Job){.settings = *settings, .arena = arena, .diag = diag_new()};
    job->seconds_load = rt_now();
    const Settings *s = &job->settings;
    int status = EXIT_DONE;
    if (s->graph || (!s->yaml && is_text_graph(s->model)))
        status = take_graph(job);
    else if (!s->yaml)
        status = model_is_readable(arena, s->model, s->listener);
    if (status == EXIT_DONE && !job->fe.graph && !read_description(job, NULL))
        status = tell_faults(s->listener, job->diag);
    if (status != EXIT_DONE)
        return status;
    tell_notes(s->listener, job->diag);
    describe_stored(job);
    describe_identity(job);
    const int64_t threads = job->fe.compile.threads;
    job->threads = threads > 0 ? (int)threads : rt_cores();
    job->open_block = job->fe.shapes && job->fe.compile.block == 0; /* a text says its own */
    return describe_machines(job);
}

void
job_end(Job *job)
{
    ssmc_model_close(job->model);
    rt_program_free(job->program);
    if (job->jit)
        cg_jit_free(job->jit);
    if (job->module)
        cg_module_free(job->module);
    rt_weights_close(job->weights);
    ssmc_library_close(job->library);
    for (int entry = 0; entry < ENTRY_COUNT; entry++)
        sb_free(&job->explain[entry]);
    diag_free(job->diag);
}
