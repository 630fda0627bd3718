/* What raw.c and mpi_bench.c share: the clock, CPU time, and the result file of one rank.
 * A result is one JSON object: {"rank":R,"ranks":N,"user_s":U,"sys_s":S,"times_us":[...]},
 * where the CPU seconds are this rank's own during the timed iterations. */
#ifndef GENIE_PEERS_BENCH_H
#define GENIE_PEERS_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 4096, bytes ? bytes : 1)) die("posix_memalign");
    memset(memory, 0, bytes ? bytes : 1);
    return memory;
}

/* Runs `once` warmup + iterations times and writes the result of this rank to FOLDER/RANK.json. */
static void measure(void (*once)(void), int iterations, int warmup, const char *folder, int rank, int ranks) {
    double *times = calloc(iterations, sizeof *times);
    struct rusage before, after;
    for (int i = 0; i < warmup; i++) once();
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < iterations; i++) {
        double start = now_us();
        once();
        times[i] = now_us() - start;
    }
    getrusage(RUSAGE_SELF, &after);

    /* Renamed when it is complete, so that a file that is there can be read. */
    char path[4096], written[4096];
    snprintf(path, sizeof path, "%s/%d.json.new", folder, rank);
    snprintf(written, sizeof written, "%s/%d.json", folder, rank);
    FILE *file = fopen(path, "w");
    if (!file) die(path);
    fprintf(file, "{\"rank\":%d,\"ranks\":%d,\"user_s\":%.6f,\"sys_s\":%.6f,\"times_us\":[", rank, ranks,
            seconds(after.ru_utime) - seconds(before.ru_utime), seconds(after.ru_stime) - seconds(before.ru_stime));
    for (int i = 0; i < iterations; i++) fprintf(file, "%s%.3f", i ? "," : "", times[i]);
    fprintf(file, "]}\n");
    if (fclose(file) || rename(path, written)) die(written);
    free(times);
}

#endif
