// The exit record: written beside and renamed before the exit is announced, made durable after.
#include "monitor.h"

#include <stdio.h>
#include <time.h>

static int record_fd = -1;

int64_t time_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool record_write(int status, bool oom, int64_t finished) {
    char text[96];
    int length = snprintf(text, sizeof text, "status %d oom %d finished %lld end\n", status, oom, (long long)finished);
    record_fd = openat(LP_FD_DIRECTORY, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (record_fd < 0) return false;
    if (write(record_fd, text, (size_t)length) != length) return false;
    return renameat(LP_FD_DIRECTORY, "exit.new", LP_FD_DIRECTORY, "exit") == 0;
}

void record_sync(void) {
    if (record_fd < 0) return;
    fsync(record_fd);
    fsync(LP_FD_DIRECTORY);
}
