/* driver/settings.c -- the options of a command as the compiler's settings, what the compiler tells
 * as messages on stderr, and MODEL described by them. */
#include <stdio.h>
#include <string.h>

#include "driver/driver.h"

/* Options that are shorthands for compile: keys, whose words the keys' table knows. */
static const struct {
    OptId option;
    const char *key;
} shorthand[] = {
    {OPT_dtype,        "compile.dtype"       },
    {OPT_state_dtype,  "compile.state_dtype" },
    {OPT_kept_dtype,   "compile.kept_dtype"  },
    {OPT_chunk,        "compile.chunk"       },
    {OPT_form,         "compile.form"        },
    {OPT_matmul,       "compile.matmul"      },
    {OPT_blas,         "compile.blas"        },
    {OPT_cpu,          "compile.cpu"         },
    {OPT_device,       "compile.device"      },
    {OPT_threads,      "compile.threads"     },
    {OPT_reproducible, "compile.reproducible"},
};

/* ---- messages ------------------------------------------------------------------------------- */

static void
console_tell(void *user, Told kind, const char *text)
{
    (void)user;
    switch (kind) {
    case TOLD_fault:
        fault(EXIT_FAILED, "%s", text);
        break;
    case TOLD_note:
        note("%s", text);
        break;
    case TOLD_faults:
    case TOLD_notes:
    case TOLD_passes:
        fputs(text, stderr);
        break;
    }
}

static void
console_progress(void *user, const char *what, int64_t done, int64_t total)
{
    Progress *bar = user;
    if (!bar->what)
        *bar = progress_start(what);
    if (total > 0) {
        progress_step(bar, done, total);
        return;
    }
    progress_end(bar);
    *bar = (Progress){0};
}

const Listener *
console(Arena *arena)
{
    Listener *l = arena_alloc(arena, sizeof *l);
    *l = (Listener){console_tell, console_progress, arena_alloc(arena, sizeof(Progress))};
    return l;
}

/* ---- settings ------------------------------------------------------------------------------- */

static bool
pass_option(const Options *o, OptId id, const char *name, PassId *out)
{
    if (pass_by_name(name, out))
        return true;
    const char *near = nearest_name(name, pass_info, PASS_COUNT, sizeof(PassInfo));
    if (near)
        option_fault(o, id, "unknown pass '%s'; the nearest known one is %s", name, near);
    else
        option_fault(o, id, "unknown pass '%s'; ssmc help passes lists them", name);
    return false;
}

static bool
pass_options(const Options *o, PassOptions *po)
{
    PassId id = PASS_COUNT;
    po->verify_each = opt_given(o, OPT_verify_each);
    po->check_each = opt_given(o, OPT_check_each);
    po->time_passes = opt_given(o, OPT_time_passes);
    if (opt_given(o, OPT_stop_after)) {
        if (!pass_option(o, OPT_stop_after, opt_text(o, OPT_stop_after), &id))
            return false;
        po->stop_after = (int)id;
    }
    const OptValue *print = &o->value[OPT_print_after], *skip = &o->value[OPT_skip];
    for (int i = 0; i < print->count; i++) {
        const bool all = strcmp(print->list[i], "all") == 0;
        if (!all && !pass_option(o, OPT_print_after, print->list[i], &id))
            return false;
        for (int p = 0; p < PASS_COUNT; p++)
            po->print_after[p] = po->print_after[p] || all || p == (int)id;
    }
    for (int i = 0; i < skip->count; i++) {
        if (!pass_option(o, OPT_skip, skip->list[i], &id))
            return false;
        po->off[id] = true;
    }
    return true;
}

int
settings_of(const Options *o, const char *model, Settings *out)
{
    const OptValue *set = &o->value[OPT_set];
    const char **sets =
        arena_array(o->arena, (size_t)set->count + COUNT_OF(shorthand), sizeof *sets);
    *out = settings_new(model, console(o->arena));
    out->sets = sets;
    for (int i = 0; i < set->count; i++)
        sets[out->nsets++] = set->list[i];
    for (size_t i = 0; i < COUNT_OF(shorthand); i++) {
        const OptId id = shorthand[i].option;
        const char *text = opt_text(o, id);
        if (opt_given(o, id))
            sets[out->nsets++] =
                arena_printf(o->arena, "%s=%s", shorthand[i].key, text ? text : "true");
    }
    out->tune = (Tuning)opt_word(o, OPT_tune);
    out->pack_cache = opt_text(o, OPT_pack_cache);
    return pass_options(o, &out->passes) ? EXIT_DONE : EXIT_BAD_INPUT;
}

int
settings_from(const Options *o, Settings *out)
{
    if (!o->model)
        return fault(EXIT_BAD_INPUT, "which model? usage: ssmc %s %s", o->command->name,
                     o->command->args);
    return settings_of(o, o->model, out);
}

int
settings_with_threads(const Options *o, const IntList *threads, Settings *out)
{
    Options rest = *o;
    rest.value[OPT_threads].given = false;
    const int status = settings_from(&rest, out);
    if (opt_given(o, OPT_threads))
        out->threads = list_most(threads);
    return status;
}

bool
on_device(const Options *o)
{
    return opt_given(o, OPT_device) && strcmp(opt_text(o, OPT_device), "cpu") != 0;
}

/* ---- MODEL ---------------------------------------------------------------------------------- */

int
model_describe_by(Job *job, const Options *o, const Settings *settings, bool many)
{
    if (is_compiled(o->model))
        return fault(EXIT_BAD_INPUT,
                     "%s is compiled; ssmc %s needs the description that it was made of", o->model,
                     o->command->name);
    const int status = job_describe(job, o->arena, settings);
    if (status != EXIT_DONE || many || job->nmachines == 1)
        return status;
    return option_fault(o, OPT_cpu,
                        "several CPUs go into one file, as ssmc compile --emit so, lib, exe or obj "
                        "makes them");
}

int
model_describe(Job *job, const Options *o)
{
    Settings settings;
    const int status = settings_from(o, &settings);
    return status == EXIT_DONE ? model_describe_by(job, o, &settings, false) : status;
}

int
model_describe_any(Job *job, const Options *o)
{
    static const OptId others[] = {OPT_tune, OPT_set};
    OptId how = OPT_COUNT; /* says how to compile */
    Settings settings;
    if (!o->model || !is_compiled(o->model))
        return model_describe(job, o);
    int status = settings_from(o, &settings);
    for (size_t i = COUNT_OF(others); i-- > 0;)
        how = opt_given(o, others[i]) ? others[i] : how;
    for (size_t i = COUNT_OF(shorthand); i-- > 0;) {
        const OptId id = shorthand[i].option;
        how = opt_given(o, id) && id != OPT_cpu && id != OPT_threads ? id : how;
    }
    if (status == EXIT_DONE && how != OPT_COUNT)
        status = option_fault(o, how, "%s is compiled already", o->model);
    if (status == EXIT_DONE)
        status = threads_from(o, &settings.threads);
    settings.variant = opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : NULL;
    return status == EXIT_DONE ? job_load(job, o->arena, &settings) : status;
}

bool
machine_from(const Options *o, Machine *machine)
{
    const char *why = NULL;
    const char *cpu = opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : "native";
    if (!cg_machine(o->arena, cpu, machine, &why)) {
        fault(EXIT_BAD_INPUT, "%s", why);
        return false;
    }
    const char *about = machine_note(o->arena, machine);
    if (about)
        note("%s", about);
    if (!opt_given(o, OPT_device) || machine_device(machine, opt_text(o, OPT_device)))
        return true;
    option_fault(o, OPT_device, "--device wants %s, not '%s'", option_wants(o->arena, OPT_device),
                 opt_text(o, OPT_device));
    return false;
}
