/* serve/request_read.h -- private to the reader of requests: keys with a form of their own. */
#ifndef SSMC_SERVE_REQUEST_READ_H
#define SSMC_SERVE_REQUEST_READ_H

#include "serve/request.h"

bool request_read_rest(Body *request, Fault *fault);

#endif
