/* driver/ssd_job.h -- private to driver/: one SSD by itself as a running model. */
#ifndef SSMC_DRIVER_SSD_JOB_H
#define SSMC_DRIVER_SSD_JOB_H

#include "bench/bench.h"
#include "driver/driver.h"

typedef struct {
    const char *form, *dtype, *chunk; /* as the compile: keys spell them */
} SsdForm;

/* The graph as job_describe would have it from a file; --cpu and --threads of the options count. */
int ssd_describe(Job *job, Options *o, const BenchSsd *size, const SsdForm *form);
/* The same compiled, in a session of one sequence. The caller closes run->session, then the job. */
int ssd_open(Job *job, Options *o, const BenchSsd *size, const SsdForm *form, BenchSsdRun *run);

#endif
