/* driver/compiled.c -- a compiled model (.so) in the place of a description: its data runs on this
 * command's own runtime. */
#include "driver/driver.h"

bool
is_compiled(const char *path)
{
    return has_suffix(path, ".so");
}

int
compiled_load(Job *job)
{
    const Options *o = job->o;
    const OptId how = job_compile_option(o);
    if (how != OPT_COUNT)
        return option_fault(o, how, "%s is compiled already", o->model);
    ssmc_status rs = ssmc_library_open(o->model, &job->library);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    job->compiled = ssmc_library_compiled(job->library);
    const char *cpu = opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : NULL;
    rs = rt_variant_choose(job->compiled, cpu, &job->variant);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    job->eos = ssmc_compiled_eos(job->compiled, &job->neos);
    job->machine.cpu = job->variant->cpu;
    return threads_from(o, &job->threads);
}

static ssmc_status
open_external(Job *job, Progress *bar)
{
    const ssmc_status rs =
        rt_weights_load(job->compiled, job->variant->program, NULL, &job->weights);
    if (rs != SSMC_OK)
        return rs;
    if (rt_weights_note(job->weights))
        say("note: %s", rt_weights_note(job->weights));
    return rt_model_open(job->program, job->weights, opt_text(job->o, OPT_pack_cache), job->threads,
                         progress_call, bar, &job->model);
}

int
compiled_run(Job *job)
{
    Progress bar = progress_start("packing weights");
    ssmc_status rs = rt_program_wrap(job->variant->program, &job->program);
    if (rs == SSMC_OK)
        rs = job->variant->embedded
                 ? rt_model_embedded(job->compiled, job->variant, job->program, &job->model)
                 : open_external(job, &bar);
    progress_end(&bar);
    job->seconds_load = rt_now() - job->seconds_load;
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    warn_of_cache(job->model);
    return EXIT_DONE;
}

void
compiled_end(Job *job)
{
    ssmc_library_close(job->library);
}
