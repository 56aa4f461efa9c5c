/** The version of all three programs; they are released together. */
export const VERSION = '0.1.0';
