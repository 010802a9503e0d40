/* driver/convert.h -- private to driver/: what ssmc convert writes of a GGUF file. */
#ifndef SSMC_DRIVER_CONVERT_H
#define SSMC_DRIVER_CONVERT_H

#include "driver/driver.h"

/* Its tensors as the checkpoint that it was made of has them, by the config.json made of it: *out
 * (arena), whose data are those of the weights or in the arena. How many there are; -1: no
 * memory for what lies in blocks. */
int convert_tensors(Arena *arena, ssmc_weights *weights, const char *config, RtTensor **out);

#endif
