/* tests/allocations.h -- counts what this process allocates, in whatever thread and library. */
#ifndef SSMC_TESTS_ALLOCATIONS_H
#define SSMC_TESTS_ALLOCATIONS_H

#include <stdint.h>

uint64_t allocations(void); /* calls so far */

#endif
