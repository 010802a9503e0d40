/* bench/load/main.c -- the command line of ssmc_load, and what it prints. Exit status: 0; 1: an
 * answer failed or was not the one made alone; 2: a fault of the command line. */
#include <getopt.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/load/load.h"

static const char usage[] =
    "usage: ssmc_load --port N --text FILE [OPTION...]\n"
    "Asks a server on this machine for answers, as many clients at the same time, and compares "
    "each\n"
    "with the answer to the same request alone. Prompts are pieces of FILE.\n"
    "  --host ADDRESS     127.0.0.1 (default) or ::1; nothing else is asked\n"
    "  --clients N        at the same time, 1 to 4096 (default 8)\n"
    "  --seconds S        1 to 3600 (default 60); then no more requests are begun\n"
    "  --distinct N       requests that differ, 1 to 10000 (default 32)\n"
    "  --prompt LO-HI     bytes of a prompt (default 20-2000)\n"
    "  --tokens LO-HI     tokens of an answer at most (default 16-128)\n"
    "  --greedy           temperature 0 for all; else every second one has 0.8 and a seed\n"
    "  --schemas FILE     a list of JSON schemas, which requests take in turn (json_schema)\n"
    "  --answers FILE     writes the answers made alone there, each a line of JSON: index, "
    "schema,\n"
    "                     finish, text\n"
    "  --ignore-eos       answers have as many tokens as they may have (an extension of this "
    "server)\n"
    "  --seed N           of prompts and lengths (default 1)\n"
    "  --chat             /v1/chat/completions, not /v1/completions\n"
    "  --key FILE         a file whose first line is the API key\n"
    "  --pid N            of the server: its resident memory is told\n"
    "  --json             one JSON object, not a table\n";

static _Noreturn void
refuse(const char *what, const char *value)
{
    fprintf(stderr, "ssmc_load: %s: %s\n", what, value);
    exit(2);
}

static long
number(const char *option, const char *text, long least, long most)
{
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most) {
        fprintf(stderr, "ssmc_load: --%s is '%s', expected a number from %ld to %ld\n", option,
                text, least, most);
        exit(2);
    }
    return value;
}

static void
range(const char *option, const char *text, int most, int out[2])
{
    char *end;
    const long low = strtol(text, &end, 10), high = *end == '-' ? strtol(end + 1, &end, 10) : low;
    if (end == text || *end || low < 1 || high < low || high > most) {
        fprintf(stderr, "ssmc_load: --%s is '%s', expected LO-HI from 1 to %d\n", option, text,
                most);
        exit(2);
    }
    out[0] = (int)low;
    out[1] = (int)high;
}

static char *
read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    Bytes bytes = {0};
    if (!f)
        refuse("can't be read", path);
    char data[65536];
    for (size_t n; (n = fread(data, 1, sizeof data, f)) > 0 && bytes.len < (64u << 20);)
        bytes_add(&bytes, data, n);
    fclose(f);
    *len = bytes.len;
    bytes_add(&bytes, "", 1);
    return bytes.data;
}

static struct json_object *
read_schemas(const char *path)
{
    size_t len = 0;
    char *text = read_file(path, &len);
    struct json_object *list = json_tokener_parse(text);
    free(text);
    if (!list || !json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
        refuse("is no JSON list of schemas", path);
    return list;
}

static void
read_options(int argc, char **argv, LoadOptions *o, bool *json, const char **answers)
{
    static const struct option known[] = {
        {"host",       1, NULL, 'h'},
        {"port",       1, NULL, 'p'},
        {"clients",    1, NULL, 'c'},
        {"seconds",    1, NULL, 's'},
        {"distinct",   1, NULL, 'd'},
        {"prompt",     1, NULL, 'P'},
        {"tokens",     1, NULL, 't'},
        {"seed",       1, NULL, 'S'},
        {"chat",       0, NULL, 'C'},
        {"ignore-eos", 0, NULL, 'e'},
        {"greedy",     0, NULL, 'g'},
        {"key",        1, NULL, 'k'},
        {"pid",        1, NULL, 'i'},
        {"json",       0, NULL, 'j'},
        {"schemas",    1, NULL, 'm'},
        {"answers",    1, NULL, 'a'},
        {"text",       1, NULL, 'T'},
        {NULL,         0, NULL, 0  }
    };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        size_t len;
        switch (c) {
        case 'h':
            o->host = optarg;
            break;
        case 'p':
            o->port = (int)number("port", optarg, 1, 65535);
            break;
        case 'c':
            o->clients = (int)number("clients", optarg, 1, 4096);
            break;
        case 's':
            o->seconds = (double)number("seconds", optarg, 1, 3600);
            break;
        case 'd':
            o->distinct = (int)number("distinct", optarg, 1, 10000);
            break;
        case 'P':
            range("prompt", optarg, 1 << 20, o->prompt);
            break;
        case 't':
            range("tokens", optarg, 1 << 20, o->tokens);
            break;
        case 'S':
            o->seed = (uint64_t)number("seed", optarg, 0, 1L << 60);
            break;
        case 'C':
            o->chat = true;
            break;
        case 'e':
            o->ignore_eos = true;
            break;
        case 'g':
            o->greedy = true;
            break;
        case 'k': {
            char *key = read_file(optarg, &len);
            key[strcspn(key, "\r\n")] = '\0';
            o->key = key;
            break;
        }
        case 'i':
            o->pid = (int)number("pid", optarg, 1, 1 << 30);
            break;
        case 'j':
            *json = true;
            break;
        case 'm':
            o->schemas = read_schemas(optarg);
            break;
        case 'a':
            *answers = optarg;
            break;
        case 'T':
            o->text = read_file(optarg, &o->text_len);
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (o->port == 0 || !o->text || optind < argc) {
        fputs(usage, stderr);
        exit(2);
    }
    if (strcmp(o->host, "127.0.0.1") != 0 && strcmp(o->host, "::1") != 0)
        refuse("only 127.0.0.1 and ::1 are asked, --host is", o->host);
    if (o->text_len < 16)
        refuse("prompts are pieces of --text, which has less than 16 bytes", "");
    if (o->key && strlen(o->key) > 500)
        refuse("--key has more than 500 bytes", "");
}

typedef struct {
    LoadResult alone, together;
    int64_t start, after, end; /* resident bytes: at first, after the requests alone, at the end */
} Report;

static void
print_times(const char *name, const Times *t)
{
    printf("%-22s p50 %8.2f  p90 %8.2f  p99 %8.2f ms\n", name, 1e3 * times_at(t, 0.5),
           1e3 * times_at(t, 0.9), 1e3 * times_at(t, 0.99));
}

static void
print_table(const LoadOptions *o, const Report *r)
{
    const LoadResult *t = &r->together;
    printf("%d clients, %.1f s, %d distinct requests\n", o->clients, t->seconds, o->distinct);
    printf("%-22s %.1f tokens/s drawn; %llu requests, %llu complete, %llu equal to the one made "
           "alone\n",
           "together", (double)t->drawn / t->seconds, (unsigned long long)t->requests,
           (unsigned long long)t->complete, (unsigned long long)t->equal);
    printf("%-22s %llu failed, %llu refused and asked again\n", "", (unsigned long long)t->failed,
           (unsigned long long)t->refused);
    printf("%-22s %lld read, %lld of them cached; %lld drawn\n", "tokens", (long long)t->prompt,
           (long long)t->cached, (long long)t->drawn);
    print_times("first token", &t->first);
    print_times("between tokens", &t->between);
    print_times("whole answer", &t->whole);
    printf("%-22s %.1f tokens/s drawn\n", "alone", (double)r->alone.drawn / r->alone.seconds);
    print_times("first token, alone", &r->alone.first);
    print_times("between tokens, alone", &r->alone.between);
    if (o->pid)
        printf("%-22s %.1f MiB at first, %.1f after the requests alone, %.1f at the end\n",
               "resident", (double)r->start / 1048576, (double)r->after / 1048576,
               (double)r->end / 1048576);
    if (t->fault[0])
        printf("%-22s %s\n", "first fault", t->fault);
}

static void
json_times(struct json_object *parent, const char *key, const Times *t)
{
    static const double shares[] = {0.5, 0.9, 0.99};
    static const char *const names[] = {"p50", "p90", "p99"};
    struct json_object *object = json_object_new_object();
    for (int i = 0; i < 3; i++) {
        const double at = times_at(t, shares[i]);
        json_object_object_add(object, names[i], isnan(at) ? NULL : json_object_new_double(at));
    }
    json_object_object_add(parent, key, object);
}

static struct json_object *
json_result(const LoadResult *r)
{
    struct json_object *o = json_object_new_object();
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {
        {"requests",      (int64_t)r->requests},
        {"complete",      (int64_t)r->complete},
        {"equal",         (int64_t)r->equal   },
        {"failed",        (int64_t)r->failed  },
        {"refused",       (int64_t)r->refused },
        {"prompt_tokens", r->prompt           },
        {"cached_tokens", r->cached           },
        {"drawn_tokens",  r->drawn            }
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_object_add(o, counts[i].key, json_object_new_int64(counts[i].value));
    json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
    json_object_object_add(o, "tokens_per_second",
                           json_object_new_double((double)r->drawn / r->seconds));
    json_times(o, "first_token_seconds", &r->first);
    json_times(o, "between_tokens_seconds", &r->between);
    json_times(o, "whole_seconds", &r->whole);
    if (r->fault[0])
        json_object_object_add(o, "first_fault", json_object_new_string(r->fault));
    return o;
}

static void
print_json(const LoadOptions *o, const Report *r)
{
    struct json_object *root = json_object_new_object();
    json_object_object_add(root, "clients", json_object_new_int(o->clients));
    json_object_object_add(root, "distinct", json_object_new_int(o->distinct));
    json_object_object_add(root, "alone", json_result(&r->alone));
    json_object_object_add(root, "together", json_result(&r->together));
    const int64_t bytes[] = {r->start, r->after, r->end};
    struct json_object *list = json_object_new_array();
    for (int i = 0; o->pid && i < 3; i++)
        json_object_array_add(list, json_object_new_int64(bytes[i]));
    json_object_object_add(root, "resident_bytes", list);
    puts(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY));
    json_object_put(root);
}

/* A text as the JSON string of a stream had it. */
static struct json_object *
text_of(const Answer *answer)
{
    Bytes quoted = {0};
    bytes_add(&quoted, "\"", 1);
    bytes_add(&quoted, answer->text.data, answer->text.len);
    bytes_add(&quoted, "\"", 2);
    struct json_object *text = json_tokener_parse(quoted.data);
    free(quoted.data);
    return text;
}

static void
write_answers(const LoadOptions *o, const Ask *asks, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        refuse("can't be written", path);
    for (int i = 0; i < o->distinct; i++) {
        struct json_object *line = json_object_new_object();
        json_object_object_add(line, "index", json_object_new_int(i));
        if (o->schemas)
            json_object_object_add(line, "schema", json_object_get(ask_schema(o, i)));
        json_object_object_add(line, "finish", json_object_new_string(asks[i].alone.finish));
        json_object_object_add(line, "text", text_of(&asks[i].alone));
        fprintf(f, "%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
        json_object_put(line);
    }
    if (fclose(f) != 0)
        refuse("can't be written", path);
}

/* Each client has a connection. */
static void
raise_files(int clients)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max != RLIM_INFINITY && files.rlim_max < (rlim_t)clients + 16)
        refuse("the system allows this process fewer open files than --clients needs", "ulimit -n");
}

int
main(int argc, char **argv)
{
    LoadOptions o = {
        .host = "127.0.0.1",
        .clients = 8,
        .seconds = 60,
        .distinct = 32,
        .prompt = {20, 2000},
        .tokens = {16, 128 },
        .seed = 1
    };
    static Report r;
    bool json = false;
    const char *answers = NULL;
    read_options(argc, argv, &o, &json, &answers);
    raise_files(o.clients);
    Ask *asks = asks_make(&o);
    r.start = resident(o.pid);
    const bool answered = asks && load_alone(&o, asks, &r.alone);
    if (!answered) {
        fprintf(stderr, "ssmc_load: %s\n", r.alone.fault);
    } else {
        r.after = resident(o.pid);
        load_together(&o, asks, &r.together);
        r.end = resident(o.pid);
        if (answers)
            write_answers(&o, asks, answers);
        (json ? print_json : print_table)(&o, &r);
    }
    asks_free(asks, o.distinct);
    free((char *)o.text);
    free((char *)o.key);
    json_object_put(o.schemas);
    return answered && r.together.failed == 0 && r.together.requests > 0 &&
                   r.together.equal == r.together.requests
               ? 0
               : 1;
}
