//! Every text a person sees outside the web pages, in English and Simplified Chinese.
