#define _GNU_SOURCE
#include "include/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>

int cl_o_direct(void) { return O_DIRECT; }

struct io_uring *cl_ring_create(unsigned entries) {
    struct io_uring *ring = calloc(1, sizeof *ring);
    if (!ring) return NULL;
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int result = io_uring_queue_init_params(entries, ring, &params);
    if (result == -EINVAL) result = io_uring_queue_init(entries, ring, 0);
    if (result == 0) return ring;
    free(ring);
    errno = -result;
    return NULL;
}

void cl_ring_destroy(struct io_uring *ring) {
    io_uring_queue_exit(ring);
    free(ring);
}

int cl_ring_register_buffers(struct io_uring *ring, void *base, size_t size, unsigned count) {
    struct iovec *vectors = calloc(count, sizeof *vectors);
    if (!vectors) return -1;
    for (unsigned i = 0; i < count; i++) vectors[i] = (struct iovec){.iov_base = (char *)base + i * size, .iov_len = size};
    int result = io_uring_register_buffers(ring, vectors, count);
    free(vectors);
    if (result == 0) return 0;
    errno = -result;
    return -1;
}

int cl_ring_write(struct io_uring *ring, int fd, const void *data, unsigned length, uint64_t offset, int buffer_index, uint64_t tag) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (!sqe) return -1;
    if (buffer_index >= 0) io_uring_prep_write_fixed(sqe, fd, data, length, offset, buffer_index);
    else io_uring_prep_write(sqe, fd, data, length, offset);
    sqe->user_data = tag;
    return 0;
}

int cl_ring_read(struct io_uring *ring, int fd, void *data, unsigned length, uint64_t offset, int buffer_index, uint64_t tag) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (!sqe) return -1;
    if (buffer_index >= 0) io_uring_prep_read_fixed(sqe, fd, data, length, offset, buffer_index);
    else io_uring_prep_read(sqe, fd, data, length, offset);
    sqe->user_data = tag;
    return 0;
}

int cl_ring_fsync(struct io_uring *ring, int fd, int data_only, uint64_t tag) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (!sqe) return -1;
    io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
    sqe->user_data = tag;
    return 0;
}

int cl_ring_submit(struct io_uring *ring, unsigned wait_for) {
    int result;
    do result = wait_for ? io_uring_submit_and_wait(ring, wait_for) : io_uring_submit(ring);
    while (result == -EINTR);
    return result;
}

int cl_ring_completion(struct io_uring *ring, uint64_t *tag, int32_t *result) {
    struct io_uring_cqe *cqe;
    if (io_uring_peek_cqe(ring, &cqe) != 0) return 0;
    *tag = cqe->user_data;
    *result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return 1;
}
