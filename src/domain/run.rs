//! One execution of the crawl.
