//! Fakes and waits that the tests share.
