// Standard streams: from the container to its log and its clients, from one client to the container.
//
// The container waits for whoever attached before its start (nothing is lost in a pipe of gigabytes), until that takes nothing
// for `stall_seconds`. Others may be as slow as they like while what they miss fits their buffer; then they hold up the
// container, and the other readers, for a moment, and are dropped. No memory is allocated for a byte moved.
#include "monitor.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CLIENTS_MAX 64
#define CHUNK_BYTES 65536
// Who has written this much at once is read from this often before anything else is looked at.
#define BURST_BYTES 8192
#define BURST_READS 16
// What a client may be behind another one.
#define BEHIND_BYTES (4 * CHUNK_BYTES)
// That, a chunk that was sent in part, and after the end what both pipes still hold: draining never waits for a client.
#define PENDING_BYTES (BEHIND_BYTES + 4 * CHUNK_BYTES)
// A client must take this much, or all there is, in one of the times below.
#define PACE_BYTES CHUNK_BYTES
// How long one may be slower while other clients wait for it, and while only a container does that it did not start.
#define OTHERS_WAIT_NS 2000000000
#define CONTAINER_WAITS_NS 10000000000
#define HEADER_BYTES 8

struct client {
    int fd;
    uint8_t streams;
    bool input_ended;
    char *pending;
    size_t pending_start, pending_end;
    bool early;             // attached before the start
    int64_t stalled_since;  // when what is pending stopped moving
    int64_t behind_since;   // since when it has taken `taken` bytes, fewer than PACE_BYTES
    size_t taken;
};

static struct client clients[CLIENTS_MAX];
static size_t client_count;
static int input = -1, outputs[2] = {-1, -1}, terminal = -1;
static bool begun, input_closed;
static char chunk[HEADER_BYTES + CHUNK_BYTES];
// What a client sent and the container has not read yet.
static char typed[CHUNK_BYTES];
static size_t typed_start, typed_end;
static bool typed_ends;

static void close_descriptor(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void relay_begin(int stdin_end, int stdout_end, int stderr_end, int master) {
    begun = true;
    terminal = master;
    input = master >= 0 ? master : stdin_end;
    outputs[0] = master >= 0 ? master : stdout_end;
    outputs[1] = stderr_end;
    if (input_closed && terminal < 0) close_descriptor(&input);
}

void relay_resize(uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (terminal >= 0) ioctl(terminal, TIOCSWINSZ, &size);
}

void relay_close_input(void) {
    input_closed = true;
    if (terminal < 0 && begun) close_descriptor(&input);
}

void relay_attach(int fd, uint8_t streams) {
    if (client_count == CLIENTS_MAX) {
        close(fd);
        return;
    }
    char *pending = mmap(NULL, PENDING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pending == MAP_FAILED) {
        close(fd);
        return;
    }
    if (plan->flags & LP_TERMINAL && streams & LP_STDERR) streams |= LP_STDOUT;
    clients[client_count++] = (struct client){.fd = fd, .streams = streams, .pending = pending, .early = !begun};
}

static void input_of_client_ended(struct client *client) {
    if (client->input_ended || !(client->streams & LP_STDIN)) return;
    client->input_ended = true;
    if (!(plan->flags & LP_STDIN_ONCE)) return;
    if (typed_start == typed_end) relay_close_input();
    else typed_ends = true;
}

static void drop(size_t index) {
    input_of_client_ended(&clients[index]);
    close(clients[index].fd);
    munmap(clients[index].pending, PENDING_BYTES);
    clients[index] = clients[--client_count];
}

static void keep(struct client *client, const char *bytes, size_t count) {
    if (client->pending_start == client->pending_end) {
        client->pending_start = client->pending_end = client->taken = 0;
        client->stalled_since = client->behind_since = time_now();
    }
    if (client->pending_end + count > PENDING_BYTES) {
        memmove(client->pending, client->pending + client->pending_start, client->pending_end - client->pending_start);
        client->pending_end -= client->pending_start;
        client->pending_start = 0;
    }
    memcpy(client->pending + client->pending_end, bytes, count);
    client->pending_end += count;
}

// False when the client has gone.
static bool deliver(struct client *client, const char *bytes, size_t count) {
    size_t sent = 0;
    if (client->pending_start == client->pending_end) {
        ssize_t result = send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (result < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (result > 0) sent = (size_t)result;
    }
    if (sent == count) return true;
    // More than this waits only for a client that misses even the end; it is cut off rather than given half a frame.
    if (client->pending_end - client->pending_start + count - sent > PENDING_BYTES) return false;
    keep(client, bytes + sent, count - sent);
    return true;
}

static void broadcast(int stream, size_t count) {
    char *bytes = chunk + HEADER_BYTES;
    log_append(stream, bytes, count);
    bool raw = plan->flags & LP_TERMINAL;
    if (!raw) {
        bytes = chunk;
        const unsigned char header[HEADER_BYTES] = {
            (unsigned char)(stream + 1), 0, 0, 0, (unsigned char)(count >> 24), (unsigned char)(count >> 16),
            (unsigned char)(count >> 8), (unsigned char)count};
        memcpy(chunk, header, sizeof header);
        count += HEADER_BYTES;
    }
    for (size_t i = client_count; i-- > 0;)
        if (clients[i].streams & (stream == 0 ? LP_STDOUT : LP_STDERR) && !deliver(&clients[i], bytes, count)) drop(i);
}

static void write_typed(void) {
    while (input >= 0 && typed_start < typed_end) {
        ssize_t count = write(input, typed + typed_start, typed_end - typed_start);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) {
            typed_start = typed_end = 0;
            if (terminal < 0) relay_close_input();
            break;
        }
        typed_start += (size_t)count;
    }
    if (typed_start < typed_end && input >= 0) return;
    typed_start = typed_end = 0;
    if (typed_ends) relay_close_input();
    typed_ends = false;
}

// What it typed cannot be taken now; its hang-up would be reported again and again, so it is not asked for.
static bool input_waits(const struct client *client) {
    return client->streams & LP_STDIN && !client->input_ended && (typed_end != 0 || !begun);
}

// Takes what a client typed; false when it has gone for good.
static bool take_typed(struct client *client) {
    if (input_waits(client)) return true;
    bool wanted = client->streams & LP_STDIN && input >= 0;
    char unwanted[64];
    ssize_t count = recv(client->fd, wanted ? typed : unwanted, wanted ? sizeof typed : sizeof unwanted, MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) {
        input_of_client_ended(client);
        client->input_ended = true;
        return true;
    }
    if (wanted) {
        typed_end = (size_t)count;
        write_typed();
    }
    return true;
}

static bool send_pending(struct client *client) {
    ssize_t count = send(
        client->fd, client->pending + client->pending_start, client->pending_end - client->pending_start,
        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    client->pending_start += (size_t)count;
    client->stalled_since = time_now();
    client->taken += (size_t)count;
    if (client->taken >= PACE_BYTES) {
        client->taken = 0;
        client->behind_since = client->stalled_since;
    }
    return true;
}

static bool has_pending(const struct client *client) { return client->pending_start != client->pending_end; }

static bool is_full(const struct client *client) { return client->pending_end - client->pending_start >= BEHIND_BYTES; }

static bool reads(const struct client *client) { return client->streams & (LP_STDOUT | LP_STDERR); }

// Some reader has taken everything and waits for more that may come.
static bool any_waits(void) {
    if (outputs[0] < 0 && outputs[1] < 0) return false;
    for (size_t i = 0; i < client_count; i++)
        if (reads(&clients[i]) && !has_pending(&clients[i])) return true;
    return false;
}

// Nothing is read from the container: a client's buffer is full, or every reader has something left to take.
static bool output_held(void) {
    bool pending = false;
    for (size_t i = 0; i < client_count; i++) {
        if (is_full(&clients[i])) return true;
        pending |= has_pending(&clients[i]);
    }
    return pending && !any_waits();
}

// Reads one chunk and returns its length, 0 when nothing is there now or ever.
static size_t pump(int stream) {
    ssize_t count = read(outputs[stream], chunk + HEADER_BYTES, CHUNK_BYTES);
    if (count > 0) {
        broadcast(stream, (size_t)count);
        return (size_t)count;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    // The terminal reports EIO while no process has it open; only the end of the child ends it.
    if (terminal >= 0) return 0;
    close_descriptor(&outputs[stream]);
    return 0;
}

// A program that has written much has written more meanwhile, which then goes to the log with the same write.
static void pump_burst(int stream) {
    for (int i = 0; i < BURST_READS; i++)
        if (pump(stream) < BURST_BYTES || output_held()) return;
}

// When `client` is dropped unless it takes something: nanoseconds since 1970; only with something pending.
static int64_t patience_ends(const struct client *client, bool others_wait) {
    int64_t end = client->stalled_since + (int64_t)plan->stall_seconds * 1000000000;
    if (client->early && !others_wait) return end;
    // Behind by less than its buffer it holds up nobody, unless nobody else reads.
    if (others_wait && !is_full(client)) return end;
    int64_t sooner = client->behind_since + (others_wait ? OTHERS_WAIT_NS : CONTAINER_WAITS_NS);
    return sooner < end ? sooner : end;
}

bool relay_pending(void) {
    for (size_t i = 0; i < client_count; i++)
        if (has_pending(&clients[i])) return true;
    return false;
}

static struct pollfd client_poll(const struct client *client) {
    short events = has_pending(client) ? POLLOUT : 0;
    if (!client->input_ended && !input_waits(client)) events |= POLLIN;
    return (struct pollfd){.fd = events == 0 && input_waits(client) ? -1 : client->fd, .events = events};
}

// Three entries for the streams, then one a client, in the order of `clients`.
size_t relay_poll_set(struct pollfd *set, size_t room) {
    bool held = output_held();
    set[0] = (struct pollfd){.fd = typed_start < typed_end ? input : -1, .events = POLLOUT};
    for (int i = 0; i < 2; i++) set[1 + i] = (struct pollfd){.fd = begun && !held ? outputs[i] : -1, .events = POLLIN};
    size_t count = 3;
    for (size_t i = 0; i < client_count && count < room; i++)
        set[count++] = client_poll(&clients[i]);
    return count;
}

static bool serve_client(struct client *client, short events, int64_t now, bool others_wait) {
    if (events & POLLOUT && has_pending(client) && !send_pending(client)) return false;
    if (events & (POLLIN | POLLHUP) && !client->input_ended && !take_typed(client)) return false;
    // Both directions are closed: nobody reads any more.
    if (events & (POLLHUP | POLLERR) && (client->input_ended || !(client->streams & LP_STDIN) || events & POLLERR)) return false;
    return !has_pending(client) || now < patience_ends(client, others_wait);
}

void relay_serve(const struct pollfd *set, size_t count) {
    int64_t now = time_now();
    bool others_wait = any_waits();
    for (size_t i = count - 3; i-- > 0;)
        if (clients[i].fd == set[3 + i].fd && !serve_client(&clients[i], set[3 + i].revents, now, others_wait)) drop(i);
    if (set[0].revents) write_typed();
    bool hung_terminal = terminal >= 0 && set[1].revents & POLLHUP && !(set[1].revents & POLLIN);
    bool both = set[1].revents && set[2].revents;
    for (int i = 0; i < 2; i++) {
        if (!set[1 + i].revents || outputs[i] < 0) continue;
        // Two streams are taken in turns.
        if (both) pump(i);
        else pump_burst(i);
    }
    log_flush();
    // No process holds the terminal; sleep a little rather than spin until one opens it or the child ends.
    if (hung_terminal) usleep(2000);
}

int relay_timeout(void) {
    int64_t now = time_now(), left = -1;
    bool others_wait = any_waits();
    for (size_t i = 0; i < client_count; i++) {
        if (!has_pending(&clients[i])) continue;
        int64_t rest = (patience_ends(&clients[i], others_wait) - now) / 1000000;
        if (rest < 0) rest = 0;
        if (left < 0 || rest < left) left = rest;
    }
    return left < 0 ? -1 : left > 3600000 ? 3600000 : (int)left + 1;
}

static bool clients_have_room(void) {
    for (size_t i = 0; i < client_count; i++)
        if (has_pending(&clients[i]) && clients[i].pending_end - clients[i].pending_start > PENDING_BYTES - 2 * CHUNK_BYTES)
            return false;
    return true;
}

bool relay_drain(void) {
    // A process that outlives the first one (a shared pid namespace, an exec) may write for ever.
    static int rounds_left = 64;
    for (int i = 0; i < 2; i++)
        while (outputs[i] >= 0 && rounds_left > 0) {
            if (!clients_have_room()) return false;
            if (!pump(i)) break;
            rounds_left--;
        }
    return true;
}

void relay_end(void) {
    while (client_count > 0) drop(client_count - 1);
}
