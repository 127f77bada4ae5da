//! Words that invented people, goods and complaints are made of. A table; nobody real is meant.

pub(super) const GIVEN: &[&str] = &[
    "Ada", "Amir", "Anouk", "Arlo", "Beatriz", "Bodo", "Carmen", "Cyril", "Dalia", "Daniel", "Edda", "Elif",
    "Emeka", "Enzo", "Fatou", "Finn", "Greta", "Hamid", "Hana", "Ida", "Ivo", "Jalil", "Jonna", "Karim",
    "Kaya", "Lale", "Linus", "Lotte", "Malik", "Mara", "Mei", "Mila", "Nadia", "Noor", "Odile", "Oskar",
    "Paloma", "Per", "Quinn", "Rana", "Rosa", "Ruben", "Sanna", "Selim", "Tamar", "Theo", "Uma", "Vera",
    "Wanda", "Yusuf", "Zora",
];

pub(super) const FAMILY: &[&str] = &[
    "Abbot",
    "Adler",
    "Amsel",
    "Baptiste",
    "Birkner",
    "Brook",
    "Castell",
    "Cermak",
    "Dahl",
    "Demir",
    "Ekberg",
    "Elster",
    "Farrow",
    "Fenwick",
    "Gallo",
    "Grimm",
    "Haddad",
    "Hollis",
    "Iversen",
    "Jansson",
    "Jurado",
    "Kestrel",
    "Kovač",
    "Lindqvist",
    "Lorca",
    "Marlow",
    "Mbeki",
    "Moreau",
    "Nakamura",
    "Norden",
    "O'Dea",
    "Okafor",
    "Pavlov",
    "Petit",
    "Quist",
    "Rahman",
    "Ribeiro",
    "Sable",
    "Sørensen",
    "Tanaka",
    "Thorne",
    "Ueda",
    "Valente",
    "Vogel",
    "Weaver",
    "Winter",
    "Yilmaz",
    "Young",
    "Zeller",
    "Zimmer",
];

pub(super) const COUNTRIES: &[&str] = &[
    "AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "PL", "PT", "SE",
    "TR",
];

pub(super) const ADJECTIVES: &[&str] = &[
    "blue", "brass", "copper", "foldable", "green", "heavy", "large", "light", "linen", "matte", "oak",
    "plain", "quiet", "round", "small", "soft", "square", "striped", "tall", "woollen",
];

pub(super) const THINGS: &[&str] = &[
    "basket", "bench", "blanket", "bowl", "clock", "cup", "kettle", "lamp", "mirror", "notebook", "pan",
    "pillow", "rug", "shelf", "stool", "teapot", "tray", "vase",
];

pub(super) const ORDER_STATES: &[&str] =
    &["new", "paid", "packed", "shipped", "delivered", "returned", "cancelled"];

pub(super) const PAYMENT_STATES: &[&str] =
    &["settled", "settled", "settled", "pending", "failed", "refunded"];

pub(super) const SUBJECTS: &[&str] = &[
    "Where is my order?",
    "Wrong size",
    "Parcel arrived damaged",
    "Please change my address",
    "Refund not received",
    "Invoice missing",
    "Cannot log in",
    "Delete my account",
];

pub(super) const COMPLAINTS: &[&str] = &[
    "I have been waiting for two weeks now and nobody answers.",
    "The box was open when it came; I can send photographs.",
    "Nothing urgent, but I would like to hear from you.",
    "I moved last month and the old address is still on the invoice.",
    "My card was charged twice for the same thing.",
    "I would rather have another colour if you still have one.",
];
