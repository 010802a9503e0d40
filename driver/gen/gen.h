/* driver/gen/gen.h -- private to ssmc_gen, which writes what is installed beside the command and
 * the library, from the tables that those are made of. */
#ifndef SSMC_DRIVER_GEN_H
#define SSMC_DRIVER_GEN_H

#include "driver/driver.h"

/* ---- symbols of libssmc (symbols.c) --------------------------------------------------------- */

void gen_version_script(StrBuf *out); /* for the linker */
/* For dpkg-shlibdeps of packages that use the library: what each symbol needs, and any symbol. */
void gen_deb_symbols(StrBuf *out);
void gen_deb_shlibs(StrBuf *out);

/* ---- manual (roff.c, man.c, man_header.c) ------------------------------------------------- */

void roff_put(StrBuf *out, const char *text); /* running text, escaped */
void roff_putn(StrBuf *out, const char *text, size_t len);
/* .TH and NAME; section as "1". */
void roff_begin(StrBuf *out, const char *name, const char *section, const char *what);
void roff_heading(StrBuf *out, const char *title);

void gen_man_overview(StrBuf *out);                      /* ssmc(1) */
void gen_man_command(StrBuf *out, const CommandInfo *c); /* ssmc-COMMAND(1) */
void gen_man_keys(StrBuf *out);                          /* ssmc-model(5) */
void gen_man_header(StrBuf *out, const char *header);    /* ssmc(3), of the text of ssmc.h */
void gen_man_function(StrBuf *out);      /* ssmc_NAME(3): sends its reader to ssmc(3) */
extern const char *const gen_function[]; /* their names; ends with NULL */

/* ---- completion (bash.c, zsh.c) ------------------------------------------------------------ */

/* What a shell offers for an argument. */
typedef enum { OFFER_NOTHING, OFFER_WORDS, OFFER_LIST, OFFER_FILES, OFFER_FOLDERS } Offer;
Offer gen_offer(OptId id, const char **words);
/* For the argument that is no option; words: into arena. */
Offer gen_offer_argument(Arena *arena, const CommandInfo *c, const char **words);

void gen_bash(StrBuf *out);
void gen_zsh(StrBuf *out);

#endif
