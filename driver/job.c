/* driver/job.c -- from MODEL to a running model: describe, weights, passes, module, run. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/driver.h"

/* Options that are shorthands for compile: keys. */
static const struct {
    OptId option;
    const char *key;
} shorthand[] = {
    {OPT_dtype,        "compile.dtype"       },
    {OPT_state_dtype,  "compile.state_dtype" },
    {OPT_chunk,        "compile.chunk"       },
    {OPT_form,         "compile.form"        },
    {OPT_matmul,       "compile.matmul"      },
    {OPT_cpu,          "compile.cpu"         },
    {OPT_threads,      "compile.threads"     },
    {OPT_reproducible, "compile.reproducible"},
};

/* --set values, then the shorthands, as key=value texts. */
static const char **
all_sets(const Options *o, int *count)
{
    const OptValue *set = &o->value[OPT_set];
    const char **sets =
        arena_array(o->arena, (size_t)set->count + COUNT_OF(shorthand) + 1, sizeof *sets);
    *count = 0;
    for (int i = 0; i < set->count; i++)
        sets[(*count)++] = set->list[i];
    for (size_t i = 0; i < COUNT_OF(shorthand); i++) {
        const char *text = opt_text(o, shorthand[i].option);
        if (opt_given(o, shorthand[i].option))
            sets[(*count)++] =
                arena_printf(o->arena, "%s=%s", shorthand[i].key, text ? text : "true");
    }
    return sets;
}

bool
has_suffix(const char *path, const char *suffix)
{
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcmp(path + n - m, suffix) == 0;
}

/* A text-form graph: its header says where weights and tokenizer are. */
static int
describe_ir(Job *job, const char *path, const char *const *sets, int nsets)
{
    enum { MAX_TEXT = 256 << 20 };
    Source *source = arena_alloc(job->arena, sizeof *source);
    const char *why = NULL;
    char *text = NULL;
    if (!file_read(job->arena, path, MAX_TEXT, &text, &source->len, &why))
        return job_fault(job->o, EXIT_BAD_INPUT, "%s", why);
    source->path = path;
    source->text = text;
    job->fe.graph = graph_parse(job->arena, source, job->diag);
    if (!fe_compile_load(job->arena, sets, nsets, job->diag, &job->fe.compile) || !job->fe.graph)
        return job_diag_fault(job->o, job->diag);
    if (!graph_verify(job->fe.graph, job->diag))
        return job_diag_fault(job->o, job->diag);
    return EXIT_DONE;
}

/* What tells apart programs of one model whose numbers differ by more than the order of sums. */
static const char *
numerics_text(const Job *job)
{
    const FeCompile *c = &job->fe.compile;
    const char *text = format_info[c->format].name;
    if (c->group >= 0)
        text = arena_printf(job->arena, "%s group %lld", text, (long long)c->group);
    if (c->state_dtype == DTYPE_f32)
        return text;
    return arena_printf(job->arena, "%s, %s state", text, dtype_info[c->state_dtype].name);
}

void
job_machine(Job *job, const Machine *machine)
{
    job->machine = *machine;
    if (opt_word(job->o, OPT_tune) != TUNE_SHIPPED)
        costs_load(job->arena, &job->machine);
    job->measured = NULL; /* what was measured is of another machine */
    job->nmeasured = job->cap_measured = 0;
}

/* The machines of a list of CPUs; the first is the one that anything but a product is for. */
static int
describe_machines(Job *job, const char *list)
{
    enum { MOST = 16 };
    Machine *machines = arena_array(job->arena, MOST, sizeof *machines);
    for (const char *at = list;;) {
        const size_t len = strcspn(at, ",");
        const char *name = arena_strndup(job->arena, at, len), *why = NULL;
        if (job->nmachines == MOST)
            return job_fault(job->o, EXIT_BAD_INPUT, "--cpu names more than %d CPUs", MOST);
        if (!cg_machine(job->arena, name, &machines[job->nmachines++], &why))
            return job_fault(job->o, EXIT_BAD_INPUT, "%s", why);
        at += len;
        if (!*at++)
            break;
    }
    job->machines = machines;
    job_machine(job, &machines[0]);
    return EXIT_DONE;
}

static int
begin(Job *job, Options *o)
{
    *job = (Job){.o = o, .arena = o->arena, .diag = diag_new()};
    job->seconds_load = rt_now();
    if (o->model)
        return EXIT_DONE;
    return job_fault(job->o, EXIT_BAD_INPUT, "which model? usage: ssmc %s %s", o->command->name,
                     o->command->args);
}

/* What the runtime tells models and programs apart by. */
static void
describe_identity(Job *job)
{
    job->fe.graph->identity = graph_identity(job->fe.graph);
    job->fe.graph->numerics = numerics_text(job);
    job->eos = job->fe.graph->eos;
    job->neos = (size_t)job->fe.graph->neos;
}

/* What follows from a graph and its compile: section. */
static int
describe_rest(Job *job)
{
    describe_identity(job);
    const int64_t threads = job->fe.compile.threads;
    job->threads = threads > 0 ? (int)threads : rt_cores();
    return describe_machines(job, job->fe.compile.cpu);
}

static int
describe(Job *job)
{
    Options *o = job->o;
    int nsets = 0;
    const char **sets = all_sets(o, &nsets);
    if (has_suffix(o->model, ".ir")) {
        const int status = describe_ir(job, o->model, sets, nsets);
        if (status != EXIT_DONE)
            return status;
    } else if (model_is_readable(o) != EXIT_DONE) {
        return EXIT_BAD_INPUT;
    } else if (!fe_model_load(job->arena, o->model, sets, nsets, job->diag, &job->fe)) {
        return job_diag_fault(job->o, job->diag);
    }
    job_notes(o, job->diag);
    return describe_rest(job);
}

/* The description once more, with a weight of its own where another served in its place. */
static int
describe_untied(Job *job)
{
    int nsets = 0;
    StrBuf again = {0};
    const char **sets = all_sets(job->o, &nsets);
    sets[nsets++] = job->fe.tied.untie;
    job_notes(job->o, job->diag);
    if (!fe_model_load(job->arena, job->o->model, sets, nsets, job->diag, &job->fe))
        return job_diag_fault(job->o, job->diag);
    diag_take_notes(job->diag, &again); /* they have been shown */
    sb_free(&again);
    describe_identity(job);
    return EXIT_DONE;
}

int
job_describe_text(Job *job, Options *o, const char *yaml)
{
    *job = (Job){.o = o, .arena = o->arena, .diag = diag_new()};
    if (!fe_model_parse(job->arena, yaml, strlen(yaml), "made up", job->diag, &job->fe))
        return diag_fault(job->diag);
    return describe_rest(job);
}

static int
only_one(const Job *job)
{
    if (job->nmachines <= 1)
        return EXIT_DONE;
    return option_fault(job->o, OPT_cpu,
                        "several CPUs go into one file, as ssmc compile --emit so, lib, exe or obj "
                        "makes them");
}

int
job_describe_many(Job *job, Options *o)
{
    const int status = begin(job, o);
    if (status != EXIT_DONE)
        return status;
    if (is_compiled(o->model))
        return job_fault(job->o, EXIT_BAD_INPUT,
                         "%s is compiled; ssmc %s needs the description that it was made of",
                         o->model, o->command->name);
    return describe(job);
}

int
job_describe(Job *job, Options *o)
{
    const int status = job_describe_many(job, o);
    return status == EXIT_DONE ? only_one(job) : status;
}

int
job_describe_any(Job *job, Options *o)
{
    if (!o->model || !is_compiled(o->model))
        return job_describe(job, o);
    const int status = begin(job, o);
    return status == EXIT_DONE ? compiled_load(job) : status;
}

/* Options that say how to compile, and were given; OPT_COUNT: none. */
OptId
job_compile_option(const Options *o)
{
    for (size_t i = 0; i < COUNT_OF(shorthand); i++)
        if (opt_given(o, shorthand[i].option) && shorthand[i].option != OPT_cpu &&
            shorthand[i].option != OPT_threads)
            return shorthand[i].option;
    static const OptId others[] = {OPT_blas, OPT_tune, OPT_set};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (opt_given(o, others[i]))
            return others[i];
    return OPT_COUNT;
}

static AbiDtype
abi_dtype(Dtype dtype)
{
    return dtype == DTYPE_bf16 ? ABI_BF16 : dtype == DTYPE_f16 ? ABI_F16 : ABI_F32;
}

/* A job that does not speak shows no bar either. */
static Progress
job_progress(const Job *job, const char *what)
{
    Progress bar = progress_start(what);
    bar.shown = bar.shown && !job->o->faults;
    return bar;
}

/* Weights without a checkpoint, by the rules named in the graph. */
static ssmc_status
make_weights(Job *job)
{
    const Graph *g = job->fe.graph;
    AbiWeight *list = arena_array(job->arena, (size_t)g->nweights + 1, sizeof *list);
    for (int i = 0; i < g->nweights; i++) {
        const Value *w = g->weights[i];
        const char *names = w->tensor ? w->tensor : w->name;
        const size_t first = strcspn(names, "|"); /* of several spellings */
        list[i] = (AbiWeight){.tensor = arena_strndup(job->arena, names, first),
                              .init = w->init,
                              .dtype = abi_dtype(w->type.dtype),
                              .rank = w->type.shape.rank};
        for (int d = 0; d < w->type.shape.rank; d++)
            list[i].dim[d] = w->type.shape.dim[d].n;
    }
    const bool looked_at = job->whole_weights || opt_given(job->o, OPT_check_each);
    if (!looked_at) /* before they are packed */
        return rt_weights_describe(list, g->nweights, (uint64_t)g->seed, &job->weights);
    Progress bar = job_progress(job, "making weights");
    const ssmc_status rs = rt_weights_init(list, g->nweights, (uint64_t)g->seed, job->threads,
                                           progress_call, &bar, &job->weights);
    progress_end(&bar);
    return rs;
}

static void
count_parameters(Job *job)
{
    const Graph *g = job->fe.graph;
    for (int i = 0; i < g->nweights; i++) {
        int64_t n = 0;
        if (type_count(&g->weights[i]->type, 0, 0, &n))
            job->parameters += n;
    }
}

int
job_weights(Job *job, bool values)
{
    const Graph *g = job->fe.graph;
    if (!g->weights_path)
        return job_fault(job->o, EXIT_BAD_INPUT,
                         "%s says no weights: give `weights: FILE` or `weights: {init: reference}`",
                         job->o->model);
    const bool made = strcmp(g->weights_path, "init:reference") == 0;
    if (made && !values && !opt_given(job->o, OPT_check_each)) {
        count_parameters(job);
        return EXIT_DONE; /* nobody will look at them: their types are known */
    }
    const ssmc_status rs =
        made ? make_weights(job) : rt_weights_open(g->weights_path, &job->weights);
    if (rs != SSMC_OK)
        return job_runtime_fault(job->o, rs);
    BindResult result = bind_weights(job->fe.graph, job->weights, &job->fe, job->diag);
    const int status = result == BIND_UNTIED ? describe_untied(job) : EXIT_DONE;
    if (status != EXIT_DONE)
        return status;
    if (result == BIND_UNTIED)
        result = bind_weights(job->fe.graph, job->weights, &job->fe, job->diag);
    if (result != BIND_DONE)
        return job_diag_fault(job->o, job->diag);
    count_parameters(job);
    job_notes(job->o, job->diag);
    job->seconds_load = rt_now() - job->seconds_load;
    return EXIT_DONE;
}

static bool
pass_option(Job *job, OptId id, const char *name, PassId *out)
{
    if (pass_by_name(name, out))
        return true;
    const char *near = nearest_name(name, pass_info, PASS_COUNT, sizeof(PassInfo));
    if (near)
        option_fault(job->o, id, "unknown pass '%s'; the nearest known one is %s", name, near);
    else
        option_fault(job->o, id, "unknown pass '%s'; ssmc help passes lists them", name);
    return false;
}

static bool
pass_options(Job *job, PassOptions *po)
{
    const Options *o = job->o;
    PassId id = PASS_COUNT;
    *po = (PassOptions){.stop_after = -1,
                        .verify_each = opt_given(o, OPT_verify_each),
                        .check_each = opt_given(o, OPT_check_each),
                        .time_passes = opt_given(o, OPT_time_passes)};
    for (int i = 0; i < PASS_COUNT; i++)
        po->off[i] = !pass_info[i].on;
    if (opt_given(o, OPT_stop_after)) {
        if (!pass_option(job, OPT_stop_after, opt_text(o, OPT_stop_after), &id))
            return false;
        po->stop_after = (int)id;
    }
    const OptValue *print = &o->value[OPT_print_after];
    for (int i = 0; i < print->count; i++) {
        const bool all = strcmp(print->list[i], "all") == 0;
        if (!all && !pass_option(job, OPT_print_after, print->list[i], &id))
            return false;
        for (int p = 0; p < PASS_COUNT; p++)
            po->print_after[p] = po->print_after[p] || all || p == (int)id;
    }
    const OptValue *skip = &o->value[OPT_skip];
    for (int i = 0; i < skip->count; i++) {
        if (!pass_option(job, OPT_skip, skip->list[i], &id))
            return false;
        po->off[id] = true;
    }
    return true;
}

int
job_check_passes(Job *job)
{
    PassOptions po;
    return pass_options(job, &po) ? EXIT_DONE : EXIT_BAD_INPUT;
}

int
job_cost_threads(const Job *job)
{
    const bool native = job->machine.native;
    return native || job->fe.compile.threads > 0 ? job->threads : 1;
}

int
job_passes(Job *job, Phase phase)
{
    PassOptions po;
    if (!pass_options(job, &po))
        return EXIT_BAD_INPUT;
    const int status = phase == PHASE_PREFILL ? job_measure(job) : EXIT_DONE;
    if (status != EXIT_DONE)
        return status;
    const FeCompile *fc = &job->fe.compile;
    StrBuf text = {0};
    const WeightSource source = weight_source(job->weights);
    po.weights = &source;
    po.out = &text;
    PassCtx cx = {.machine = &job->machine,
                  .threads = job_cost_threads(job),
                  .measured = job->measured,
                  .nmeasured = job->nmeasured,
                  .phase = phase,
                  .reproducible = fc->reproducible,
                  .format = fc->format,
                  .group = fc->group,
                  .state_dtype = fc->state_dtype,
                  .chunk = fc->chunk,
                  .form = fc->form,
                  .matmul = fc->matmul,
                  .no_blas = strcmp(opt_text(job->o, OPT_blas), "none") == 0,
                  .arena = job->arena,
                  .diag = job->diag,
                  .explain = &job->explain[phase]};
    job->graph[phase] = graph_copy(job->arena, job->fe.graph);
    const bool ok = pass_run_pipeline(job->graph[phase], &cx, &po);
    fputs(sb_text(&text), stderr);
    sb_free(&text);
    if (ok)
        return EXIT_DONE;
    job_diag_fault(job->o, job->diag);
    return po.check_each ? EXIT_FAILED : EXIT_BAD_INPUT;
}

/* cg_module takes graphs in the order of AbiPhaseId. */
_Static_assert((int)PHASE_PREFILL == ABI_PREFILL && (int)PHASE_DECODE == ABI_DECODE &&
                   (int)PHASE_COUNT == ABI_PHASES,
               "graph[phase]");

int
job_module(Job *job)
{
    const Graph *graphs[2] = {job->graph[PHASE_PREFILL], job->graph[PHASE_DECODE]};
    job->module = cg_module(&job->machine, graphs, 2, job->diag);
    if (!job->module)
        return job_diag_fault(job->o, job->diag);
    if (!job->fe.compile.reproducible || cg_module_abi(job->module)->phase[ABI_PREFILL].grain == 1)
        return EXIT_DONE;
    return job_fault(job->o, EXIT_BAD_INPUT,
                     "%s has its forms chosen: it cannot be compiled reproducible any more",
                     job->o->model);
}

/* What the compiler freed, and its code: weights need the memory now. */
static void
give_memory_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    cg_rest();
}

/* The module as machine code. */
static int
link_program(Job *job)
{
    const char *why = NULL;
    job->jit = cg_jit(job->arena, job->module, job->threads, &why);
    job->module = NULL;
    if (!job->jit)
        return job_fault(job->o, cg_jit_allowed(&why) ? EXIT_BAD_INPUT : EXIT_FAILED, "%s", why);
    give_memory_back();
    const ssmc_status rs = rt_program_wrap(cg_jit_program(job->jit), &job->program);
    return rs == SSMC_OK ? EXIT_DONE : job_runtime_fault(job->o, rs);
}

int
job_program(Job *job)
{
    int status = EXIT_DONE;
    const double started = rt_now();
    for (int phase = 0; phase < 2 && status == EXIT_DONE; phase++)
        status = job_passes(job, (Phase)phase);
    if (status == EXIT_DONE)
        status = job_module(job);
    if (status == EXIT_DONE)
        status = link_program(job);
    job->seconds_compile = rt_now() - started;
    return status;
}

int
job_model(Job *job)
{
    const double started = rt_now();
    Progress bar = job_progress(job, "packing weights");
    const ssmc_status rs =
        rt_model_open(job->program, job->weights, opt_text(job->o, OPT_pack_cache), job->threads,
                      progress_call, &bar, &job->model);
    progress_end(&bar);
    job->seconds_load += rt_now() - started;
    if (rs != SSMC_OK)
        return job_runtime_fault(job->o, rs);
    warn_of_cache(job->model);
    return EXIT_DONE;
}

int
job_run(Job *job)
{
    if (job->compiled)
        return compiled_run(job);
    int status = job_weights(job, true);
    if (status == EXIT_DONE)
        status = job_program(job);
    return status == EXIT_DONE ? job_model(job) : status;
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
    compiled_end(job);
    for (int phase = 0; phase < 2; phase++)
        sb_free(&job->explain[phase]);
    diag_free(job->diag);
}
