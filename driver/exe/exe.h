/* driver/exe/exe.h -- private to the main of compiled programs. */
#ifndef SSMC_DRIVER_EXE_H
#define SSMC_DRIVER_EXE_H

#include "driver/driver.h"

/* The model of this program; the linker finds it in the model's own object. */
const ssmc_compiled *ssmc_product_compiled(void);

/* Opens the model and answers the prompts of the options; an exit status. */
int exe_run(Options *o);

#endif
