/* driver/chat_run.h -- private to driver/: ssmc run --chat. */
#ifndef SSMC_DRIVER_CHAT_RUN_H
#define SSMC_DRIVER_CHAT_RUN_H

#include "driver/driver.h"

/* A conversation with MODEL; an exit status. */
int run_chat(Options *o, const ssmc_sampling *how);

#endif
