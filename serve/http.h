/* serve/http.h -- private to serve/: the HTTP side. */
#ifndef SSMC_SERVE_HTTP_H
#define SSMC_SERVE_HTTP_H

#include "serve/server.h"

typedef struct Http Http;
/* Binds and serves; address (of the size given) becomes what it is bound to. NULL: *why says it
 * (static, or of the system). */
Http *http_open(Server *server, char *address, size_t size, const char **why);
/* Looks after connections that take too long to say what they want. */
void http_sweep(Http *http);
void http_close(Http *http); /* once no request is with the engine any more */

extern const char type_page[], page_policy[];

#endif
