/* driver/gen/gen.h -- private to ssmc_gen, which writes what is installed beside the command and
 * the library, from the tables that those are made of. */
#ifndef SSMC_DRIVER_GEN_H
#define SSMC_DRIVER_GEN_H

#include "driver/driver.h"

/* ---- symbols of libssmc (symbols.c) --------------------------------------------------------- */

void gen_version_script(StrBuf *out); /* for the linker */
void gen_deb_symbols(StrBuf *out);    /* for dpkg-shlibdeps of packages that use the library */

#endif
