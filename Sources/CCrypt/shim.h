// libcrypt (crypt(3)), which hashes passwords.
#include <crypt.h>
