# Passing over an element that the table ignores, a signature for instance: well-formed, within bounds, content unread.

# `at` is the '<' of the element; the answer stands behind its end tag. `depth` is that of the element (the root has 1),
# `nodes` an upper bound of the elements so far, raised by itself and those inside. `declares`: its tag begins
# with a declaration of the default namespace that the caller has checked; otherwise it may not hold one.
#
# NULL: not recognised, so the plain twin reads the message. Recognised is the form that exclusive canonicalisation
# gives: ASCII, attributes in double quotes after one space each and without prefix, http: and urn: namespaces, no
# references, comments or CDATA.
cdef const char *skip_element(const char *at, const char *end, bint declares, int depth, int *nodes) noexcept
