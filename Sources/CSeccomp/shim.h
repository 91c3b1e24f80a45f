// libseccomp, which makes filters of system calls.
#include <seccomp.h>
