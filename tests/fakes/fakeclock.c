/* A machine whose clock is wrong by FAKE_CLOCK_OFFSET seconds; for LD_PRELOAD. Monotonic clocks are left alone.
 * Where FAKE_CLOCK_KEPT names a file, somebody keeps the clock right as long as that exists; "denied" forbids asking. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <unistd.h>
#include <time.h>

static long offset(void) {
    const char *text = getenv("FAKE_CLOCK_OFFSET");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, now);
    if (which == CLOCK_REALTIME && result == 0)
        now->tv_sec += offset();
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int adjtimex(struct timex *state) {
    static int (*real)(struct timex *);
    const char *kept = getenv("FAKE_CLOCK_KEPT");
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "adjtimex");
    if (!kept)
        return real(state);
    if (strcmp(kept, "denied") == 0) {
        errno = EPERM;
        return -1;
    }
    return access(kept, F_OK) == 0 ? TIME_OK : TIME_ERROR;
}
