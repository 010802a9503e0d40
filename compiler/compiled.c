/* compiler/compiled.c -- a compiled model (.so) in the place of a description: its data runs on
 * this process's own runtime. */
#include <string.h>

#include "compiler/internal.h"

bool
is_compiled(const char *path)
{
    const size_t len = strlen(path);
    return len > 3 && strcmp(path + len - 3, ".so") == 0;
}

int
job_load(Job *job, Arena *arena, const Settings *settings)
{
    *job = (Job){.settings = *settings, .arena = arena, .diag = diag_new()};
    job->seconds_load = rt_now();
    ssmc_status rs = ssmc_library_open(settings->model, &job->library);
    if (rs != SSMC_OK)
        return tell_runtime_fault(settings->listener, rs);
    job->compiled = ssmc_library_compiled(job->library);
    rs = rt_variant_choose(job->compiled, settings->variant, &job->variant);
    if (rs != SSMC_OK)
        return tell_runtime_fault(settings->listener, rs);
    const char *note = rt_variant_note(job->compiled, settings->variant);
    if (note)
        tell_text(settings->listener, TOLD_note, "%s", note);
    job->eos = ssmc_compiled_eos(job->compiled, &job->neos);
    job->machine.cpu = job->variant->cpu;
    job->threads = settings->threads > 0 ? settings->threads : rt_cores();
    return EXIT_DONE;
}

/* Opens the model of the variant: its weights are inside, or in files. */
ssmc_status
compiled_open(Job *job, ssmc_progress *progress, void *user)
{
    ssmc_status rs = rt_program_wrap(job->variant->program, &job->program);
    if (rs != SSMC_OK)
        return rs;
    if (job->variant->embedded)
        return rt_model_embedded(job->compiled, job->variant, job->program, &job->model);
    rs = rt_weights_load(job->compiled, job->variant->program, NULL, &job->weights);
    if (rs != SSMC_OK)
        return rs;
    if (rt_weights_note(job->weights))
        tell_text(job->settings.listener, TOLD_notes, "note: %s\n", rt_weights_note(job->weights));
    return rt_model_open(job->program, job->weights, job->settings.pack_cache, job->threads,
                         progress, user, &job->model);
}
