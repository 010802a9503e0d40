/* tests/install.h -- a prefix into which the project was installed, and programs built from there.
 */
#ifndef SSMC_TESTS_INSTALL_H
#define SSMC_TESTS_INSTALL_H

#include "tests/harness.h"

typedef struct {
    char *dir;          /* of the test */
    char *root;         /* the prefix */
    char *ssmc;         /* the command there */
    char *pkg_path;     /* PKG_CONFIG_PATH=... */
    char *library_path; /* LD_LIBRARY_PATH=... */
} Prefix;

/* Installed, and then moved. */
Prefix prefix_new(void);
/* What is below root: an installation made some other way. dir is the prefix's own from now on. */
Prefix prefix_at(char *dir, char *root);
void prefix_end(Prefix *p);

/* Standard output of a tool that must end with status 0; owned by the caller. */
char *tool_ok(const char *const *args);
/* Runs a tool that must end with status 0; its output is dropped. */
void tool_free(const char *const *args);
/* The tool must end so, and say that on stderr. */
void expect_says(int status, const char *const *args, const char *what);

/* What pkg-config says of ssmc; owned by the caller. */
char *pkg_config(const Prefix *p, const char *const *more);
/* cc of one source, with flags as pkg-config prints them. */
void cc_with(const char *flags, const char *source, const char *exe);

/* The program tests/data/install/story.c, called so and given ids, goes on as the installed command
 * does. */
void expect_story(const Prefix *p, const char *const *program);

#endif
