/* compiler/compile.c -- the whole way from a description to a running model, with the forms of
 * --tune exhaustive measured before they are chosen. */
#include "compiler/internal.h"

int
job_passes(Job *job, EntryId entry)
{
    const bool chooses = entry_info[entry].tokens != 1; /* forms, by what was measured */
    const int status = chooses ? job_measure(job) : EXIT_DONE;
    return status == EXIT_DONE ? program_passes(job, entry) : status;
}

int
job_module(Job *job)
{
    const int status = job_measure(job);
    return status == EXIT_DONE ? program_module(job) : status;
}

int
job_program(Job *job)
{
    const double started = rt_now();
    int status = job_measure(job);
    if (status == EXIT_DONE)
        status = program_build(job);
    job->seconds_compile = rt_now() - started;
    return status;
}

int
job_run(Job *job)
{
    if (job->compiled)
        return job_model(job);
    int status = job_weights(job, true);
    if (status == EXIT_DONE)
        status = job_program(job);
    return status == EXIT_DONE ? job_model(job) : status;
}
