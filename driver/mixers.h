/* driver/mixers.h -- what mixes tokens, as options of ssmc bench say it. */
#ifndef SSMC_DRIVER_MIXERS_H
#define SSMC_DRIVER_MIXERS_H

#include "bench/bench.h"
#include "driver/driver.h"

/* The sizes that --ssd, --delta, --scan or --attend says, with passes of as many tokens as a model
 * in f32 has. False: the fault has been printed. */
bool mixer_size(const Options *o, OptId id, BenchMixer *out);
/* Those of --prefill; not given: the preset. False: the fault has been printed. */
bool mixer_lengths(const Options *o, const IntList *preset, IntList *out);

#endif
